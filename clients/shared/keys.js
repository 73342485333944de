// @ts-check
/** Owns reading a shortcut from a key, whatever the keyboard writes. */

/**
 * The Latin letter on a key: what it writes, or, on a keyboard that writes Arabic or Hindi, what is printed beside it.
 * @param {KeyboardEvent} event
 */
export function letter(event) {
  if (/^[\x20-\x7e]$/.test(event.key)) return event.key.toLowerCase();
  const key = /^Key([A-Z])$/.exec(event.code)?.[1]?.toLowerCase();
  return key ?? (event.code === "Slash" && event.shiftKey ? "?" : event.key.toLowerCase());
}
