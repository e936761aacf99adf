// How tables look: columns by spaces, no lines, so that they fit 80 columns and paste well.
import type { TableConstructorOptions } from 'cli-table3'

export const PLAIN_TABLE: Pick<TableConstructorOptions, 'chars' | 'style'> = {
  chars: {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '  ',
  },
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
}
