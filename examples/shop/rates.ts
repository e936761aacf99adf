// A method of a class, decorated: the answers of somebody else's API, which is slow, counts requests and fails.
import { Router } from 'express'
import { cache } from './cache.ts'

class ExchangeRates {
  // Where it fails later, the last answer is given for a day (`grace` of the namespace).
  @cache.cached('api', { ttl: '10m' })
  async of(currency: string): Promise<unknown> {
    const response = await fetch(`${process.env.RATES_URL}/${currency}`, { signal: cache.context()?.signal ?? null })
    if (!response.ok) throw new Error(`the API answered ${response.status}`) // an error is never cached
    return response.json()
  }
}

const exchangeRates = new ExchangeRates()

export const rates = Router()

rates.get('/rates/:currency', async (req, res) => {
  res.json(await exchangeRates.of(req.params.currency))
})
