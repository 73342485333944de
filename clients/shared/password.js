// @ts-check
/** Owns choosing a password: the field, what makes a good one, and why one is not taken. */
import { useState } from "preact/hooks";

import { has, t } from "./i18n.js";
import { html } from "./ui.js";

/** @typedef {{currentTarget: HTMLInputElement}} Typed */

/** Why the server doesn't take this password. @param {import("./api.js").Problem} problem */
export const why = (problem) => (problem.code === "weak-password" && has(`weak.${problem.body.reason}`) ? t(`weak.${problem.body.reason}`) : problem.message);

/**
 * The new password, shown while it is typed if its owner likes, with the policy below it.
 * @param {{value: string, onChange: (password: string) => void, focus?: boolean, known?: {value: string, onChange: (password: string) => void} | null}} props
 *   `known`: the password as it is, where that is asked first
 */
export function NewPassword({ value, onChange, focus = false, known = null }) {
  const [shown, setShown] = useState(false);
  const kind = shown ? "text" : "password";
  return html`
    ${known &&
    html`<label class="field"><span>${t("account.password.now")}</span>
      <input type=${kind} name="current" value=${known.value} required maxlength="1000" autocomplete="current-password" autofocus=${focus} spellcheck=${false} dir="ltr" onInput=${(/** @type {Typed} */ event) => known.onChange(event.currentTarget.value)} />
    </label>`}
    <label class="field"><span>${t("invite.password")}</span>
      <input type=${kind} name="password" value=${value} required minlength="10" maxlength="1000" autocomplete="new-password" autofocus=${focus && !known} aria-describedby="policy" spellcheck=${false} dir="ltr" onInput=${(/** @type {Typed} */ event) => onChange(event.currentTarget.value)} />
    </label>
    <label class="check"><input type="checkbox" checked=${shown} onChange=${() => setShown(!shown)} /><span>${t("invite.show")}</span></label>
    <ul class="policy" id="policy"><li>${t("invite.policy.length")}</li><li>${t("invite.policy.guess")}</li><li>${t("invite.policy.free")}</li></ul>
  `;
}
