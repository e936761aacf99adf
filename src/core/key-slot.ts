// The slot of a key in a Redis Cluster: CRC16 (XMODEM) of the key, or of its hash tag, modulo 16,384. As the Cluster specification has it.

export const SLOTS = 16_384

const OPEN = 0x7b
const CLOSE = 0x7d

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc & 0xffff
})

/** 0 to 16,383. Text counts as its UTF-8 bytes. */
export function slotOf(key: string | Uint8Array): number {
  const bytes = typeof key === 'string' ? Buffer.from(key) : key
  let from = 0
  let to = bytes.length
  const open = bytes.indexOf(OPEN)
  if (open >= 0) {
    const close = bytes.indexOf(CLOSE, open + 1)
    // An empty tag is none.
    if (close > open + 1) {
      from = open + 1
      to = close
    }
  }
  let crc = 0
  for (let at = from; at < to; at++) crc = ((crc << 8) & 0xffff) ^ (TABLE[(crc >> 8) ^ (bytes[at] as number)] as number)
  return crc % SLOTS
}
