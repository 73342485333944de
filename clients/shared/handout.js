// @ts-check
/** Owns what staff are shown once, to hand on or to keep: links, secrets, and pictures of them to scan. */
import { useRef, useState } from "preact/hooks";

import { t } from "./i18n.js";
import { html } from "./ui.js";

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context there is no clipboard; the text is selected, so that the keyboard can.
    return false;
  }
}

/** A text to hand on, with a button that copies it. @param {{label: string, text: string}} props */
export function Copyable({ label, text }) {
  const ref = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [done, setDone] = useState(false);
  const press = async () => {
    ref.current?.select();
    setDone(await copy(text));
  };
  return html`
    <div class="copyable">
      <label class="field"><span>${label}</span><input ref=${ref} readonly value=${text} dir="ltr" onFocus=${() => ref.current?.select()} /></label>
      <button class="button" type="button" onClick=${press}>${done ? t("handout.copied") : t("handout.copy")}</button>
      <span class="aside" role="status">${done ? t("handout.copied") : ""}</span>
    </div>
  `;
}

/** A QR code that the server drew, as a picture: an SVG in the page could carry more than lines. @param {{svg: string, alt: string}} props */
export function Qr({ svg, alt }) {
  // The server draws it for the inside of a page, where it needs no namespace; a picture without one is broken.
  const picture = svg.includes("xmlns=") ? svg : svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"');
  return html`<img class="qr" src=${`data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture)}`} alt=${alt} width="200" height="200" />`;
}
