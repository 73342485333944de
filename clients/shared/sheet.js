// @ts-check
/** Owns the sheet that lies over a page of staff's: one question, one answer, or neither. */
import { useLayoutEffect, useRef } from "preact/hooks";

import { t } from "./i18n.js";
import { html } from "./ui.js";

/**
 * A modal sheet with a form; the browser keeps the focus inside and closes it on Escape.
 * @param {{title: string, action?: string, dismiss?: string, danger?: boolean, busy?: boolean, disabled?: boolean, problem?: string, beside?: boolean, children?: any, onClose: () => void, onSubmit?: () => void}} props
 *   `dismiss`: what the button says that changes nothing; `beside`: a press beside it closes it, too
 */
export function Sheet({ title, action, dismiss, danger = false, busy = false, disabled = false, problem = "", beside = false, children, onClose, onSubmit }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    if (!ref.current?.open) ref.current?.showModal();
    return () => before?.focus?.();
  }, []);
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    onSubmit?.();
  };
  return html`
    <dialog ref=${ref} class="sheet" aria-labelledby="sheet-title" onClose=${onClose} onClick=${(/** @type {MouseEvent} */ event) => beside && event.target === ref.current && onClose()}>
      <form onSubmit=${submit}>
        <h2 id="sheet-title">${title}</h2>
        ${children}
        <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
        <div class="sheet-foot">
          <button class="button" type="button" onClick=${onClose}>${dismiss ?? (action ? t("console.cancel") : t("console.close"))}</button>
          ${action && html`<button class=${`button ${danger ? "danger" : "main"}`} type="submit" aria-busy=${busy} disabled=${busy || disabled}>${busy ? t("console.working") : action}</button>`}
        </div>
      </form>
    </dialog>
  `;
}
