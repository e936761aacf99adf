// The one list of characters that a person cannot see or that move other characters about: keys encode them, output escapes them.
// The ranges are spelled out, not taken from \p{…}: those change with the Unicode version of the runtime, and with them keys would.

/**
 * Body of a regular-expression class, without the space U+0020: C0, DEL, C1 and NBSP; soft hyphen; the default-ignorable characters
 * (joiners, fillers, variation selectors, bidi marks, BOM); all other white space; line and paragraph separators; interlinear annotation.
 */
export const INVISIBLE_BMP =
  '\\x00-\\x1F\\x7F-\\xA0\\xAD\\u034F\\u061C\\u115F\\u1160\\u1680\\u17B4\\u17B5\\u180B-\\u180F\\u2000-\\u200F\\u2028-\\u202F' +
  '\\u205F-\\u206F\\u2800\\u3000\\u3164\\uFE00-\\uFE0F\\uFEFF\\uFFA0\\uFFF0-\\uFFFB'

/** Alternatives (for expressions without the `u` flag): shorthand and musical controls, tag characters, variation selectors 17 to 256. */
export const INVISIBLE_ASTRAL = '\\uD82F[\\uDCA0-\\uDCA3]|\\uD834[\\uDD73-\\uDD7A]|[\\uDB40-\\uDB43][\\uDC00-\\uDFFF]'

/** A surrogate without its other half: text that no UTF-8 can hold. For expressions without the `u` flag. */
export const LONE_SURROGATE = '[\\uD800-\\uDBFF](?![\\uDC00-\\uDFFF])|(?<![\\uD800-\\uDBFF])[\\uDC00-\\uDFFF]'

const loneSurrogate = new RegExp(LONE_SURROGATE)

/** Whether the text can be written as UTF-8 and read back the same. */
export function isWellFormed(text: string): boolean {
  return !loneSurrogate.test(text)
}
