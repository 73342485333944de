// @ts-check
/** Owns how a place is called where a page can do no more: a number to be read, and tapped on a telephone. */
import { t } from "./i18n.js";
import { html } from "./ui.js";

/** In groups of three, as far as nothing better is known of it. @param {string} phone in E.164 */
const grouped = (phone) => phone.replace(/(?<=^\+\d+)(?=(\d{3})+$)/g, "\u00a0");

/** @param {{phone: string | null | undefined}} props */
export function Call({ phone }) {
  if (!phone) return null;
  const [before = "", after = ""] = t("call.phone", { phone: "\u0000" }).split("\u0000");
  return html`<a class="call" href=${`tel:${phone}`} data-testid="call">${before}<bdi dir="ltr">${grouped(phone)}</bdi>${after}</a>`;
}
