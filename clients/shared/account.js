// @ts-check
/** Owns what everybody who signs in can do about their own account, the same on every page of staff's. */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";

import { Problem, request } from "./api.js";
import { t } from "./i18n.js";
import { NewPassword, why } from "./password.js";
import { resume, user } from "./session.js";
import { Sheet } from "./sheet.js";
import { html } from "./ui.js";

/** Whether the sheet with one's own account is open. */
export const account = signal(false);

const Person = () => html`<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.7 1.9 7.5 5.5" /></svg>`;

/** Who has signed in, at the top of the page; a press shows their account. @param {{href?: string}} props */
export function AccountButton({ href }) {
  const inside = html`<${Person} /><span class="aside">${t("admin.account")}: </span><span class="top-user">${user.value?.name}</span>`;
  if (href) return html`<a class="button quiet top-account" href=${href}>${inside}</a>`;
  return html`<button class="button quiet top-account" type="button" data-testid="account" onClick=${() => (account.value = true)}>${inside}</button>`;
}

/**
 * A password that is being changed: what was typed, what became of it, and the step itself.
 * @returns {{fields: any, problem: string, busy: boolean, done: string, submit: () => Promise<void>}}
 */
export function usePassword() {
  const [known, setKnown] = useState("");
  const [fresh, setFresh] = useState("");
  const [problem, setProblem] = useState("");
  const [done, setDone] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    setBusy(true);
    setProblem("");
    try {
      const reply = await request("POST", "/session/password", { body: { password: known, new_password: fresh } });
      setDone(t("account.password.done", { n: reply.sessions_ended }));
      setKnown("");
      setFresh("");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // Without an answer it may have been changed all the same, and this page's session with it.
      if (error.code === "not-authenticated" || error.code === "network") void resume();
      setProblem(why(error));
    } finally {
      setBusy(false);
    }
  };
  const fields = html`<${NewPassword} value=${fresh} onChange=${setFresh} known=${{ value: known, onChange: setKnown }} focus />`;
  return { fields, problem, busy, done, submit };
}

/** The sheet with one's own account; nothing while it is closed. */
export const AccountSheet = () => (account.value && user.value ? html`<${Own} />` : null);

function Own() {
  const { fields, problem, busy, done, submit } = usePassword();
  return html`
    <${Sheet} title=${t("admin.account")} action=${done ? "" : t("account.password.change")} busy=${busy} problem=${problem} onClose=${() => (account.value = false)} onSubmit=${submit}>
      <p class="soft"><bdi>${user.value?.name}</bdi> · <bdi dir="ltr">${user.value?.email}</bdi></p>
      <div role="status">${done && html`<p class="sheet-note" data-testid="password-done">${done}</p>`}</div>
      ${!done && fields}
    <//>
  `;
}
