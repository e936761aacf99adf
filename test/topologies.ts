// Real Redis Clusters and Sentinel sets for tests, as `test/servers.ts` has single servers.

export { startClusterAsOne } from './topology/as-one.ts'
export { type ClusterNode, type ClusterOptions, startCluster, type TestCluster } from './topology/cluster.ts'
export { type SentinelOptions, startSentinel, type Takeover, type TestSentinel } from './topology/sentinel.ts'
