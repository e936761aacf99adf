// What it costs to make entries again: the time that each took to compute stands in its header.

export interface GroupRebuild {
  group: string
  keys: number
  /** sum over the keys, one after the other */
  ms: number
}
