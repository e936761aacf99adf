// What invalidations of models and validation of entries come to, on a Cluster of three masters as on one server.
import { startInstead } from '../servers.ts'
import { startClusterAsOne } from '../topologies.ts'

startInstead(startClusterAsOne)
await import('./models-invalidation.test.ts')
await import('./validation.test.ts')
