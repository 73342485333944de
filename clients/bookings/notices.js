// @ts-check
/**
 * Owns what is shown of the messages about an appointment: each, how it went out, and what became of it.
 *
 * @typedef {{id: number, kind: string, channel: string, state: string, due_at: string, sent_at: string | null, delivered_at: string | null, attempts: number, error: string | null, instead_of: number | null}} Notice
 */
import { useEffect, useState } from "preact/hooks";

import { Problem, get } from "../shared/api.js";
import { stamp, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";

const EVERY_MS = 5_000;

/** @param {{id: number}} props */
export function Notices({ id }) {
  const [open, setOpen] = useState(false);
  const [told, setTold] = useState(/** @type {Notice[] | null} */ (null));
  useEffect(() => {
    if (!open) return undefined;
    let timer = 0;
    let current = true;
    const look = async () => {
      try {
        const found = await get(`/appointments/${id}/notices`);
        if (current) setTold(found.items);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (!error.retryable) return;
      }
      if (current) timer = setTimeout(look, EVERY_MS);
    };
    void look();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [id, open]);
  return html`
    <details class="noticed" data-testid="notices" onToggle=${(/** @type {{currentTarget: HTMLDetailsElement}} */ event) => setOpen(event.currentTarget.open)}>
      <summary>${t("bookings.notices")}</summary>
      ${told?.length === 0 && html`<p class="soft">${t("bookings.notices.none")}</p>`}
      <ol>${(told ?? []).map((one) => html`<li key=${one.id} data-state=${one.state}><time datetime=${at(one)}>${stamp(Date.parse(at(one)))}</time> <strong>${t(`notice.${one.kind}`)}</strong> <span class="soft">${t(`channel.${one.channel}`)} · ${t(`notice-state.${one.state}`)}${one.instead_of !== null ? ` · ${t("bookings.notices.instead")}` : ""}</span>${one.error && one.state !== "sent" && one.state !== "delivered" && html`<p class="soft"><bdi dir="ltr">${one.error}</bdi> <span class="soft">${t("admin.failed.tries", { n: one.attempts })}</span></p>`}</li>`)}</ol>
    </details>
  `;
}

/** When it arrived, or went, or is to go. @param {Notice} one */
const at = (one) => one.delivered_at ?? one.sent_at ?? one.due_at;
