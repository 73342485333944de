// @ts-check
/**
 * Owns the development mailbox: what was sent while no provider is configured, each message as its reader would see it.
 *
 * Invariant: a letter's markup is never parsed into this page: it is read apart, and only what letters are made of is
 * built anew, behind a shadow root.
 *
 * @typedef {{id: number, channel: string, recipient: string, language: string, subject: string | null, body: string,
 *   html: string | null, calendar: string | null, at: string}} Mail
 */
import { signal } from "@preact/signals";

import { Problem, request } from "../shared/api.js";
import { stamp, t } from "../shared/i18n.js";
import { LanguageChoice, useOwn } from "../shared/language.js";
import { resume, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { Paper } from "../shared/paper.js";
import { html, mount } from "../shared/ui.js";

const EVERY_MS = 2_000;
const RIGHT_TO_LEFT = new Set(["ar"]);
const LINK = /(https?:\/\/\S+)/;

const mails = signal(/** @type {readonly Mail[] | null} */ (null));
const more = signal(false);
const problem = signal("");
const closed = signal(false);

async function look() {
  try {
    const found = await request("POST", "/mailbox", { body: {} });
    const known = mails.peek()?.[0]?.id ?? 0;
    problem.value = "";
    closed.value = false;
    // What is there already stays as it is: whoever reads an older page keeps it.
    const fresh = found.items.filter((/** @type {Mail} */ one) => one.id > known);
    // More has come than is told at once: between these and those that are there lie others, so it begins anew.
    const anew = mails.peek() === null || (found.more && fresh.length === found.items.length);
    if (anew) more.value = found.more;
    if (anew || fresh.length) mails.value = [...fresh, ...(anew ? [] : (mails.peek() ?? []))];
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    closed.value = error.code === "not-authenticated";
    // Somebody else may sign in, who is sent other letters.
    if (closed.peek()) mails.value = null;
    problem.value = error.message;
  }
}

let reading = false;

async function earlier() {
  const last = mails.peek()?.at(-1);
  if (!last || reading) return;
  reading = true;
  try {
    const found = await request("POST", "/mailbox", { body: { before: last.id } });
    if (mails.peek()?.at(-1) !== last) return;
    mails.value = [...(mails.peek() ?? []), ...found.items];
    more.value = found.more;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problem.value = error.message;
  } finally {
    reading = false;
  }
}

function Page() {
  if (closed.value && user.value === null) return html`<${SignIn} title=${t("mailbox.title")} />`;
  return html`
    <div class="mailbox" data-testid="mailbox">
      <header class="mailbox-head">
        <div>
          <h1>${t("mailbox.title")}</h1>
          <p class="soft">${t("mailbox.lead")}</p>
        </div>
        <${LanguageChoice} />
      </header>
      <main aria-live="polite" aria-relevant="additions">
        ${problem.value && html`<p class="problem" role="alert">${problem.value}</p>`}
        ${mails.value?.length === 0 && html`<p class="mailbox-empty">${t("mailbox.empty")}</p>`}
        ${mails.value?.map((mail) => html`<${Letter} key=${mail.id} mail=${mail} />`)}
        ${more.value && html`<button class="button" type="button" onClick=${earlier}>${t("mailbox.earlier")}</button>`}
      </main>
    </div>
  `;
}

/** @param {{mail: Mail}} props */
function Letter({ mail }) {
  const name = `mail-${mail.id}`;
  const direction = RIGHT_TO_LEFT.has(mail.language) ? "rtl" : "ltr";
  return html`
    <article class="mail" aria-labelledby=${name} data-testid="mail" data-channel=${mail.channel}>
      <header>
        <h2 id=${name}>${mail.subject ? html`<bdi lang=${mail.language}>${mail.subject}</bdi>` : t(`channel.${mail.channel}`)}</h2>
        <dl>
          <div><dt>${t("mailbox.to")}</dt><dd><bdi>${mail.recipient}</bdi></dd></div>
          <div><dt>${t("mailbox.over")}</dt><dd>${t(`channel.${mail.channel}`)}</dd></div>
          <div><dt>${t("mailbox.at")}</dt><dd><time datetime=${mail.at}>${stamp(Date.parse(mail.at))}</time></dd></div>
        </dl>
      </header>
      ${mail.html ? html`<${Paper} markup=${mail.html} language=${mail.language} direction=${direction} />` : html`<${AsSeen} mail=${mail} direction=${direction} />`}
      ${mail.calendar && html`<${Entry} calendar=${mail.calendar} number=${mail.id} />`}
    </article>
  `;
}

/** What is no letter: as a telephone shows or says it. @param {{mail: Mail, direction: string}} props */
function AsSeen({ mail, direction }) {
  const look = { lang: mail.language, dir: direction };
  if (mail.channel === "voice") {
    return html`<div class="spoken"><p ...${look}>${mail.body}</p>
      <button class="button" type="button" onClick=${() => say(mail)}>${t("mailbox.listen")}</button></div>`;
  }
  if (mail.channel === "push" || mail.channel === "app") {
    return html`<div class="card-of-push" ...${look}><img src="/clients/shared/icon.svg" alt="" width="36" height="36" />
      <p><strong>${mail.subject}</strong><br />${mail.body}</p></div>`;
  }
  return html`<p class="bubble" ...${look}>${mail.body.split(LINK).map((part, nth) => (nth % 2 ? html`<a href=${part} target="_blank" rel="noopener">${part}</a>` : part))}</p>`;
}

/** @param {Mail} mail */
function say(mail) {
  if (!("speechSynthesis" in globalThis)) return;
  const words = new SpeechSynthesisUtterance(mail.body);
  words.lang = mail.language;
  speechSynthesis.cancel();
  speechSynthesis.speak(words);
}

/** @param {{calendar: string, number: number}} props */
function Entry({ calendar, number }) {
  const cancels = /^METHOD:CANCEL/m.test(calendar);
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([calendar], { type: "text/calendar" }));
    link.download = `appointment-${number}.ics`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  return html`<p class="entry"><span>${cancels ? t("mailbox.entry.cancel") : t("mailbox.entry")}</span> <button class="button quiet" type="button" onClick=${save}>${t("mailbox.entry.save")}</button></p>`;
}

async function start() {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  document.title = `${t("mailbox.title")} · ${t("app.name")}`;
  mount(html`<${Page} />`, { fallback: html`<main class="calm-screen"><p>${t("fault.page")}</p></main>`, onError: console.error });
  document.documentElement.dataset.started = "yes";
  await resume();
  for (;;) {
    if (document.visibilityState === "visible") await look();
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

void start();
