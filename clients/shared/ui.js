// @ts-check
/**
 * Owns how the pages are drawn: the tag for templates, mounting, and what shows when drawing fails.
 *
 * Templates put text in as text; nothing in the pages makes HTML of a string.
 */
import htm from "htm";
import { Component, h, render } from "preact";

export const html = htm.bind(h);

/**
 * A queue's name and, where it tells more, its doctor's: a queue named after its doctor bears the doctor's name alone.
 * @param {string} name
 * @param {string | null} doctor
 * @returns {[string, string | null]}
 */
export const titled = (name, doctor) => (doctor?.includes(name) ? [doctor, null] : [name, doctor]);

/**
 * A desk's name that breaks nowhere before its number: "Room 12" is one word to whoever looks for it.
 * @param {string} desk
 */
export const unbroken = (desk) => desk.replace(/ (?=\S*\p{Nd})/gu, "\u00a0");

/** Shows `fallback` instead of its children from the first error on, and tells `onError`. */
class Boundary extends Component {
  /** @param {unknown} error */
  componentDidCatch(error) {
    this.props.onError(error);
    this.setState({ failed: true });
  }

  render() {
    return this.state.failed ? this.props.fallback : this.props.children;
  }
}

/**
 * @param {any} view
 * @param {{fallback: any, onError: (error: unknown) => void}} options
 */
export function mount(view, { fallback, onError }) {
  const root = document.getElementById("app");
  if (!root) throw new Error("no #app in the page");
  root.textContent = "";
  render(html`<${Boundary} fallback=${fallback} onError=${onError}>${view}<//>`, root);
}

/**
 * What is kept over a reload; a browser that keeps nothing (full, or forbidden) costs memory, never the page.
 * @param {"localStorage" | "sessionStorage"} [kind]
 */
export function store(kind = "localStorage") {
  /** @type {Map<string, string>} */
  const memory = new Map();
  return {
    /** @param {string} key */
    get(key) {
      try {
        return memory.get(key) ?? window[kind].getItem(key);
      } catch {
        return memory.get(key) ?? null;
      }
    },
    /**
     * @param {string} key
     * @param {string | null} value
     */
    set(key, value) {
      if (value === null) memory.delete(key);
      else memory.set(key, value);
      try {
        if (value === null) window[kind].removeItem(key);
        else window[kind].setItem(key, value);
      } catch {
        // Kept in memory above.
      }
    },
  };
}
