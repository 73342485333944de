// @ts-check
/**
 * Owns the sheet on which patients sign in: their e-mail address or telephone, the code that is sent to it, and what
 * may be asked then: which of several patients they are, who they are if nobody knows them yet, their second factor.
 *
 * Invariant: a right code stays right until somebody is signed in, so nobody types it twice.
 *
 * @typedef {{id: number, first_name: string, institution: string, birth_year: number | null}} Choice
 * @typedef {{id: number, name: string}} Institution
 * @typedef {"contact" | "code" | "choose" | "unknown" | "register" | "factor"} Step
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem, get, request } from "./api.js";
import { CodeField } from "./factor.js";
import { bornIn, language, t } from "./i18n.js";
import { LanguageChoice } from "./language.js";
import { owing, signInByCode } from "./session.js";
import { html } from "./ui.js";

const DIGITS = 6;
/** Seconds before a code can be asked for once more: most messages are there by then. */
const AGAIN_AFTER = 30;

/** @param {{title: string, lead?: string}} props */
export function CodeSignIn({ title, lead }) {
  const [step, setStep] = useState(/** @type {Step} */ ("contact"));
  const [contact, setContact] = useState("");
  const [code, setCode] = useState("");
  const [chosen, setChosen] = useState(/** @type {number | null} */ (null));
  const [choices, setChoices] = useState(/** @type {readonly Choice[]} */ ([]));
  const [registration, setRegistration] = useState(false);
  /** Whether somebody new is to be registered, though a patient may have this contact already. */
  const [another, setAnother] = useState(false);
  const [mailbox, setMailbox] = useState(false);
  const [factor, setFactor] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const card = useRef(/** @type {HTMLElement | null} */ (null));
  const again = useCountdown();

  // Each step says itself anew: the first field of a step, or its first button, has the focus.
  useEffect(() => {
    const wanted = card.current?.querySelector("input, select, .choices button, button.main");
    if (wanted instanceof HTMLElement) wanted.focus();
  }, [step]);

  /** @param {() => Promise<void>} work */
  const take = async (work) => {
    if (busy) return;
    setBusy(true);
    setProblem("");
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      follow(error);
    } finally {
      setBusy(false);
    }
  };

  /** Where a refusal leads. @param {Problem} error */
  const follow = (error) => {
    if (error.code === "choose-patient") {
      setChoices(/** @type {any} */ (error.body).patients);
      return setStep("choose");
    }
    if (error.code === "unknown-contact") {
      setRegistration(/** @type {any} */ (error.body).registration);
      return setStep("unknown");
    }
    if (error.code === "second-factor-needed") return setStep("factor");
    if (error.code === "wrong-sign-in-code") {
      setCode("");
      setStep("code");
    }
    if (error.code === "wrong-code") setFactor("");
    setProblem(error.message);
  };

  const ask = () =>
    take(async () => {
      const asked = await request("POST", "/session/code", { body: { contact, language: language.value.split("-")[0] } });
      setMailbox(asked.mailbox);
      setCode("");
      setStep("code");
      again.begin(AGAIN_AFTER);
    });

  /** @param {Record<string, any>} [more] @param {string} [typed] */
  const enter = (more = {}, typed = code) =>
    take(async () => {
      const id = more.patient_id ?? chosen;
      await signInByCode({ contact, code: typed, ...(id !== null && { patient_id: id }), ...more });
    });

  /** The code is there: in with it, or on to who is new; it is tried together with their name. @param {string} [typed] */
  const entered = (typed = code) => {
    if (!another) return void enter({}, typed);
    setCode(typed);
    setProblem("");
    setStep("register");
  };

  /** @param {() => void} go */
  const submit = (go) => (/** @type {Event} */ event) => {
    event.preventDefault();
    go();
  };
  const leave = () => {
    setProblem("");
    setChosen(null);
    setAnother(false);
    setStep("contact");
  };
  if (owing.value) return null;
  const trouble = html`<div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>`;
  const back = html`<button class="button quiet" type="button" onClick=${leave}>${t("code.other")}</button>`;
  /** @param {string} label */
  const go = (label) => html`<button class="button main" type="submit" disabled=${busy} aria-busy=${busy}>${busy ? t("console.working") : label}</button>`;

  const steps = {
    contact: () => html`
      <form class="code-step" onSubmit=${submit(ask)}>
        <p class="soft">${lead ?? t("code.lead")}</p>
        <label class="field"><span>${t("code.contact")}</span>
          <input name="contact" value=${contact} required minlength="3" maxlength="254" autocomplete="username" inputmode="email" autocapitalize="none" spellcheck=${false} dir="ltr"
            onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setContact(event.currentTarget.value)} />
        </label>
        ${trouble}
        ${go(t("code.send"))}
      </form>`,
    code: () => html`
      <form class="code-step" onSubmit=${submit(() => entered())}>
        <p>${t("code.sent")} <bdi class="code-contact">${contact}</bdi></p>
        ${mailbox && html`<p class="soft"><a href="/mailbox" target="_blank" rel="noopener">${t("code.mailbox")}</a></p>`}
        <label class="field"><span>${t("code.code")}</span>
          <input class="code" name="code" value=${code} required minlength=${DIGITS} maxlength="20" autocomplete="one-time-code" inputmode="numeric" dir="ltr"
            onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => {
              const typed = event.currentTarget.value;
              setCode(typed);
              // A phone fills the whole code in at once: then there is nothing left to press.
              if (typed.replace(/\P{Nd}/gu, "").length === DIGITS && code.length < DIGITS) void entered(typed);
            }} />
        </label>
        <label class="check"><input type="checkbox" name="another" checked=${another} onChange=${() => setAnother(!another)} /><span>${t("code.another")}</span></label>
        ${trouble}
        ${go(t("console.signin"))}
        <div class="gate-foot">
          ${back}
          <button class="button quiet" type="button" disabled=${busy || again.left > 0} onClick=${ask}>${again.left > 0 ? t("code.again.in", { seconds: again.left }) : t("code.again")}</button>
        </div>
      </form>`,
    choose: () => html`
      <div class="code-step">
        <h2 id="code-choose">${t("code.choose")}</h2>
        <ul class="choices" aria-labelledby="code-choose">
          ${choices.map(
            (one) => html`<li key=${one.id}>
              <button class="button choice" type="button" disabled=${busy} onClick=${() => (setChosen(one.id), enter({ patient_id: one.id }))}>
                <bdi>${one.first_name}</bdi>${one.birth_year ? html` <span class="soft">${t("console.born", { year: bornIn(one) })}</span>` : null}
                <bdi class="soft">${one.institution}</bdi>
              </button>
            </li>`,
          )}
        </ul>
        ${trouble}
        <button class="button quiet" type="button" disabled=${busy} onClick=${() => setStep("register")}>${t("code.register.another")}</button>
        ${back}
      </div>`,
    unknown: () => html`
      <div class="code-step">
        <h2>${t("code.unknown")}</h2>
        <p>${registration ? t("code.unknown.register") : t("problem.registration-closed")}</p>
        ${trouble}
        ${registration && html`<button class="button main" type="button" onClick=${() => setStep("register")}>${t("code.register")}</button>`}
        ${back}
      </div>`,
    register: () => html`<${Register} busy=${busy} trouble=${trouble} back=${back} onDone=${(/** @type {Record<string, any>} */ who) => enter({ register: who })} />`,
    factor: () => html`
      <form class="code-step" onSubmit=${submit(() => enter({ factor: factor.trim() }))}>
        <${CodeField} label=${t("factor-set.enter")} value=${factor} onChange=${setFactor} />
        ${trouble}
        ${go(t("console.signin"))}
        ${back}
      </form>`,
  };
  return html`
    <main class="gate">
      <div class="gate-card" ref=${card} data-testid="code-sign-in" data-step=${step}>
        <img src="/clients/shared/icon.svg" alt="" width="48" height="48" />
        <h1>${title}</h1>
        ${steps[step]()}
        <${LanguageChoice} />
      </div>
    </main>
  `;
}

/** @param {{busy: boolean, trouble: any, back: any, onDone: (who: Record<string, any>) => void}} props */
function Register({ busy, trouble, back, onDone }) {
  const [places, setPlaces] = useState(/** @type {readonly Institution[] | null} */ (null));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    get("/institutions/open").then(
      (found) => setPlaces(found.items),
      (error) => {
        if (!(error instanceof Problem)) throw error;
        setProblem(error.message);
      },
    );
  }, []);
  /** @param {SubmitEvent & {currentTarget: HTMLFormElement}} event */
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    onDone({
      institution_id: Number(form.get("institution")),
      name: String(form.get("name")).trim(),
      birth_date: String(form.get("born")),
    });
  };
  if (!places) return html`<div class="code-step"><p role="status">${problem || t("link.connecting")}</p>${back}</div>`;
  if (places.length === 0) return html`<div class="code-step"><p role="status">${t("problem.registration-closed")}</p>${back}</div>`;
  return html`
    <form class="code-step" onSubmit=${submit}>
      <h2>${t("code.register")}</h2>
      ${places.length === 1
        ? html`<p><bdi>${places[0]?.name}</bdi></p><input type="hidden" name="institution" value=${places[0]?.id} />`
        : html`<label class="field"><span>${t("admin.institution")}</span>
            <select name="institution" required>${places.map((one) => html`<option key=${one.id} value=${one.id}>${one.name}</option>`)}</select></label>`}
      <label class="field"><span>${t("code.name")}</span><input name="name" required maxlength="200" autocomplete="name" dir="auto" /></label>
      <label class="field"><span>${t("code.birth")}</span><input name="born" type="date" required min="1850-01-01" max=${new Date().toISOString().slice(0, 10)} autocomplete="bday" /></label>
      ${trouble}
      <button class="button main" type="submit" disabled=${busy} aria-busy=${busy}>${busy ? t("console.working") : t("code.register.done")}</button>
      ${back}
    </form>
  `;
}

/** Seconds that are left, once it has begun. */
function useCountdown() {
  const [until, setUntil] = useState(0);
  const [left, setLeft] = useState(0);
  useEffect(() => {
    const look = () => setLeft(Math.max(0, Math.ceil((until - Date.now()) / 1_000)));
    look();
    const ticking = setInterval(look, 500);
    return () => clearInterval(ticking);
  }, [until]);
  return { left, begin: (/** @type {number} */ seconds) => setUntil(Date.now() + seconds * 1_000) };
}
