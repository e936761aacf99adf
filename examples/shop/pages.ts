// Fragments: pieces of a page that is otherwise made anew for each request.
import { Router } from 'express'
import { cache } from './cache.ts'
import { prisma } from './database.ts'
import { customerOf } from './tenant.ts'

async function renderShelf(category: string): Promise<string> {
  const products = await prisma.product.findMany({
    where: { category_id: category },
    orderBy: [{ sales: 'desc' }, { id: 'asc' }],
    take: 50,
  })
  return products.map(({ name, price }) => `<li>${escapeHtml(name)} <b>${(price / 100).toFixed(2)}</b></li>`).join('\n')
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

export const pages = Router()

pages.get('/shelf/:category', async (req, res) => {
  const { category } = req.params
  const shelf = await cache.fragment('shelf', [category], () => renderShelf(category))
  res.send(`<p>Hello, customer ${customerOf(req) ?? 'unknown'}.</p>\n<ul>\n${shelf}\n</ul>\n`)
})
