import { describe, expect, it } from 'vitest'
import { KNOWN_SHAPES, knownShapeOf } from '../../src/core/known-shapes.ts'
import { assertPattern, matchesEverything } from '../../src/core/pattern.ts'

describe('known shapes', () => {
  it('tell whose key it is by the defaults of the packages', () => {
    const whose = (key: string) => knownShapeOf(Buffer.from(key))?.name ?? null
    expect(whose('bull:emails:1')).toBe('BullMQ')
    expect(whose('{bull}:emails:wait')).toBe('BullMQ')
    expect(whose('sess:3f2a')).toBe('connect-redis')
    expect(whose('queue:default')).toBe('Sidekiq')
    expect(whose('retry')).toBe('Sidekiq')
    expect(whose('retry:1')).toBeNull()
    expect(whose('stat:processed:2026-11-21')).toBe('Sidekiq')
    expect(whose('resque:gitlab:queue:default')).toBe('Resque')
    expect(whose('rq:job:1')).toBe('RQ')
    expect(whose('celery-task-meta-1')).toBe('Celery')
    expect(whose('_kombu.binding.celery')).toBe('Celery')
    expect(whose('spring:session:sessions:1')).toBe('Spring Session')
    expect(whose('shop_database_queues:default')).toBe('Laravel queues')
    expect(whose(':1:django.contrib.sessions.cache42')).toBe('Django sessions')
    expect(whose('')).toBeNull()
    expect(whose('shop:v1:detail:product:42')).toBeNull()
    expect(whose('Bull:emails:1')).toBeNull()
  })

  it('are found whatever bytes follow', () => {
    expect(knownShapeOf(Buffer.concat([Buffer.from('bull:'), Buffer.from([0xff, 0, 0x0a, 0x1b])]))?.kind).toBe('queue')
    expect(knownShapeOf(Buffer.from([0xff, 0xfe]))).toBeNull()
  })

  it('none is so wide that it would take the cache for a neighbour', () => {
    for (const { pattern } of KNOWN_SHAPES) {
      assertPattern(pattern)
      expect(matchesEverything(pattern), pattern).toBe(false)
      expect(matchesEverything(pattern, 'shop:'), pattern).toBe(false)
    }
  })
})
