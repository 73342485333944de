// @ts-check
/**
 * Owns how a letter's own markup is shown within a page of ours.
 *
 * Invariant: it is never parsed into the page: it is read apart, and only what letters are made of is built anew.
 */
import { useEffect, useRef } from "preact/hooks";

import { html } from "./ui.js";

/** What letters are made of; a heading of theirs stands below the page's own. */
const PARTS = new Map([["DIV", "div"], ["P", "p"], ["H1", "h3"], ["TABLE", "table"], ["TBODY", "tbody"], ["TR", "tr"], ["TD", "td"], ["A", "a"], ["BR", "br"]]);

/** A letter's own look, apart from the page's. @param {{markup: string, language: string, direction: string}} props */
export function Paper({ markup, language, direction }) {
  const host = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!host.current) return;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    // A style that is parsed is one that the policy refuses and tells the console of; one that is set is neither.
    const apart = new DOMParser().parseFromString(markup.replaceAll(' style="', ' data-style="'), "text/html");
    const body = document.createElement("div");
    body.style.cssText = `${apart.body.dataset.style ?? ""};border-radius:10px`;
    body.append(...[...apart.body.childNodes].flatMap(built));
    root.replaceChildren(body);
  }, [markup]);
  return html`<div class="paper" ref=${host} lang=${language} dir=${direction}></div>`;
}

/** @param {Node} node @returns {Node[]} */
function built(node) {
  if (node.nodeType === Node.TEXT_NODE) return [document.createTextNode(node.textContent ?? "")];
  if (!(node instanceof HTMLElement)) return [];
  const name = PARTS.get(node.tagName);
  if (!name) return [];
  const copy = document.createElement(name);
  copy.style.cssText = node.dataset.style ?? "";
  if (node instanceof HTMLAnchorElement && /^https?:/.test(node.href)) {
    const link = /** @type {HTMLAnchorElement} */ (copy);
    link.href = node.href;
    link.target = "_blank";
    link.rel = "noopener";
  }
  copy.append(...[...node.childNodes].flatMap(built));
  return [copy];
}
