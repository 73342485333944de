// @ts-check
/** Owns the sheet on which staff sign in, the same on every page of theirs: password, code, and a factor they owe. */
import { useState } from "preact/hooks";

import { Problem } from "./api.js";
import { CodeField, FactorSetUp } from "./factor.js";
import { t } from "./i18n.js";
import { LanguageChoice } from "./language.js";
import { owing, resume, signIn, signOut } from "./session.js";
import { html } from "./ui.js";

/** Refusals of somebody whose password was right. */
const CODES = new Set(["second-factor-needed", "wrong-code"]);

/** @param {{title: string}} props */
export function SignIn({ title }) {
  const [given, setGiven] = useState({ email: "", password: "" });
  const [asked, setAsked] = useState(false);
  const [code, setCode] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  if (owing.value) return html`<${Owing} />`;
  /** @param {SubmitEvent & {currentTarget: HTMLFormElement}} event */
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const now = asked ? given : { email: String(form.get("email")).trim(), password: String(form.get("password")) };
    setGiven(now);
    setBusy(true);
    setProblem("");
    try {
      await signIn(now.email, now.password, asked ? code.trim() : undefined);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (asked || error.code !== "second-factor-needed") setProblem(error.message);
      setAsked(CODES.has(error.code) || (asked && error.retryable));
      setCode("");
    }
    setBusy(false);
  };
  const fields = asked
    ? html`<${CodeField} key="code" label=${t("factor-set.enter")} value=${code} onChange=${setCode} />`
    : html`
        <label key="email" class="field"><span>${t("console.email")}</span><input name="email" type="email" autocomplete="username" required autofocus /></label>
        <label key="password" class="field"><span>${t("console.password")}</span><input name="password" type="password" autocomplete="current-password" required /></label>
      `;
  return html`
    <main class="gate">
      <form class="gate-card" onSubmit=${submit}>
        <img src="/clients/shared/icon.svg" alt="" width="48" height="48" />
        <h1>${title}</h1>
        ${fields}
        <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
        <button class="button main" type="submit" disabled=${busy} aria-busy=${busy}>${busy ? t("console.signing") : t("console.signin")}</button>
        <${LanguageChoice} />
      </form>
    </main>
  `;
}

/** Signed in, and nothing more until the second factor is there. */
const Owing = () => html`
  <main class="gate">
    <div class="gate-card">
      <h1>${t("factor-set.owed")}</h1>
      <p class="soft">${t("factor-set.owed.text")}</p>
      <${FactorSetUp} onDone=${resume} onLeave=${signOut} />
    </div>
  </main>
`;
