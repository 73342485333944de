// @ts-check
/**
 * Owns the page behind an invitation's link: whom it is for, the password they choose, and the way on.
 *
 * Invariant: the secret of the link goes to the server in the Authorization header alone, and leaves the address once
 * the password is set.
 *
 * @typedef {{email: string, name: string, role: string, institution: string, expires_at: string}} Invitation
 */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";

import { Problem, newKey, request } from "../shared/api.js";
import { Nothing, Opening, begin, opened, secret } from "../shared/bylink.js";
import { longDate, t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { NewPassword, why } from "../shared/password.js";
import { html } from "../shared/ui.js";

const authorization = `Invitation ${secret}`;
/** The page on which somebody of each role begins. */
const HOMES = { doctor: "/console", receptionist: "/reception", admin: "/admin" };

const invitation = signal(/** @type {Invitation | null} */ (null));
const ended = signal(false);
const accepted = signal(false);

async function load() {
  invitation.value = await opened(() => request("GET", "/invitations", { authorization }));
  ended.value = invitation.peek() === null;
}

function Page() {
  if (accepted.value && invitation.value) return html`<${Done} invitation=${invitation.value} />`;
  if (ended.value) return html`<${Nothing} title=${t("invite.ended")} text=${t("invite.ended.text")} />`;
  if (!invitation.value) return html`<${Opening} />`;
  return html`<${Choose} invitation=${invitation.value} />`;
}

/** @param {{invitation: Invitation}} props */
function Choose({ invitation: one }) {
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem("");
    try {
      await request("POST", "/invitations/accept", { body: { password }, authorization, key: newKey() });
      history.replaceState(null, "", "/invite/accepted");
      accepted.value = true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.code === "invitation-ended") ended.value = true;
      setProblem(why(error));
      setBusy(false);
    }
  };
  return html`
    <main class="gate">
      <form class="gate-card" onSubmit=${submit} data-testid="invitation">
        <img src="/clients/shared/icon.svg" alt="" width="48" height="48" />
        <h1>${t("invite.title", { name: one.name })}</h1>
        <p>${t("invite.text", { institution: one.institution, role: t(`role.${one.role}`) })}</p>
        <label class="field"><span>${t("console.email")}</span><input type="email" value=${one.email} readonly autocomplete="username" dir="ltr" /></label>
        <${NewPassword} value=${password} onChange=${setPassword} focus />
        <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
        <button class="button main" type="submit" disabled=${busy} aria-busy=${busy}>${busy ? t("console.working") : t("invite.accept")}</button>
        <p class="soft"><small>${t("invite.until", { day: longDate(Date.parse(one.expires_at)) })}</small></p>
        <${LanguageChoice} />
      </form>
    </main>
  `;
}

/** @param {{invitation: Invitation}} props */
const Done = ({ invitation: one }) => html`
  <main class="gate">
    <div class="gate-card" role="status">
      <h1>${t("invite.done")}</h1>
      <p>${t("invite.done.text")} <bdi>${one.email}</bdi></p>
      <a class="button main" href=${HOMES[/** @type {keyof typeof HOMES} */ (one.role)] ?? "/"}>${t("console.signin")}</a>
    </div>
  </main>
`;

void begin(Page, "invite.page").then(load);
