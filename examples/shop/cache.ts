// The one cache of this process. SHOP_CACHE=off answers everything from its source, to measure what caching saves.
import { createCache } from 'cachectl'
import config from './cache.config.ts'
import { switchOff, withoutModels } from './switch-off.ts'

const off = process.env.SHOP_CACHE === 'off'

export const cache = createCache(off ? withoutModels(config) : config, { onError: (error) => console.error(error) })

if (off) switchOff(cache)
