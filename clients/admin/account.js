// @ts-check
/** Owns the admin's own account: their password, their second factor, and where they are signed in. */
import { useState } from "preact/hooks";

import { usePassword } from "../shared/account.js";
import { Problem, request } from "../shared/api.js";
import { CodeField, FactorSetUp } from "../shared/factor.js";
import { t } from "../shared/i18n.js";
import { resume, user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { Card, Pane, Sheet, ask } from "./parts.js";
import { Sessions } from "./people.js";
import { institution } from "./work.js";

export const Account = () => html`
  <${Pane} title=${t("admin.account")} lead=${`${user.value?.name} · ${user.value?.email}`}>
    <${Password} />
    <${Factor} />
    <${Sessions} path="/sessions" name=${user.value?.name} />
  <//>
`;

function Password() {
  const { fields, problem, busy, done, submit } = usePassword();
  const [open, setOpen] = useState(false);
  /** @param {Event} event */
  const onSubmit = (event) => {
    event.preventDefault();
    void submit();
  };
  return html`
    <${Card} title=${t("account.password")} note=${done ? "" : t("account.password.text")}>
      <div role="status">${done && html`<p data-testid="password-done">${done}</p>`}</div>
      ${!done && !open && html`<div><button class="button" type="button" onClick=${() => setOpen(true)}>${t("account.password.change")}</button></div>`}
      ${!done &&
      open &&
      html`<form class="form" onSubmit=${onSubmit} data-dirty="" data-testid="password">
        ${fields}
        <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
        <div class="form-foot"><button class="button main" type="submit" disabled=${busy} aria-busy=${busy}>${busy ? t("console.working") : t("account.password.change")}</button></div>
      </form>`}
    <//>
  `;
}

function Factor() {
  const [turn, setTurn] = useState(0);
  const has = user.value?.second_factor ?? false;
  const required = institution.value?.require_totp ?? false;
  if (!has) return html`<${Card} title=${t("admin.factor")}><div class="factor-frame"><${FactorSetUp} key=${turn} onDone=${resume} onCancel=${() => setTurn(turn + 1)} /></div><//>`;
  return html`
    <${Card} title=${t("admin.factor")}>
      <p>${t("admin.factor.on")} ${required && t("admin.factor.required")}</p>
      <div><button class="button" type="button" disabled=${required} onClick=${() => ask(() => html`<${Remove} />`)}>${t("admin.factor.remove")}</button></div>
    <//>
  `;
}

/** Taking the factor away needs a code of it: an unattended computer is not enough. */
function Remove() {
  const [code, setCode] = useState("");
  const [problem, setProblem] = useState("");
  const submit = async () => {
    setProblem("");
    try {
      await request("DELETE", "/session/totp", { body: { code: code.trim() } });
      await resume();
      say({ text: t("admin.done.factor-removed"), kind: "done" });
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error.message);
      return false;
    }
  };
  return html`
    <${Sheet} title=${t("admin.factor.remove")} action=${t("admin.factor.remove")} danger onSubmit=${submit}>
      <${CodeField} label=${t("factor-set.enter")} value=${code} onChange=${setCode} />
      <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
    <//>
  `;
}
