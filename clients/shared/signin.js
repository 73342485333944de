// @ts-check
/** Owns the sheet on which staff sign in, the same on every page of theirs. */
import { useState } from "preact/hooks";

import { Problem } from "./api.js";
import { t } from "./i18n.js";
import { LanguageChoice } from "./language.js";
import { signIn } from "./session.js";
import { html } from "./ui.js";

/** @param {{title: string}} props */
export function SignIn({ title }) {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  /** @param {SubmitEvent & {currentTarget: HTMLFormElement}} event */
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem("");
    try {
      await signIn(String(form.get("email")).trim(), String(form.get("password")));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error.message);
      setBusy(false);
    }
  };
  return html`
    <main class="gate">
      <form class="gate-card" onSubmit=${submit}>
        <img src="/clients/shared/icon.svg" alt="" width="48" height="48" />
        <h1>${title}</h1>
        <label class="field"><span>${t("console.email")}</span><input name="email" type="email" autocomplete="username" required autofocus /></label>
        <label class="field"><span>${t("console.password")}</span><input name="password" type="password" autocomplete="current-password" required /></label>
        <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
        <button class="button main" type="submit" disabled=${busy} aria-busy=${busy}>${busy ? t("console.signing") : t("console.signin")}</button>
        <${LanguageChoice} />
      </form>
    </main>
  `;
}
