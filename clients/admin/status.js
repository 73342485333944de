// @ts-check
/**
 * Owns how the system is, as its processes tell it themselves; asked for every few seconds while somebody looks.
 *
 * @typedef {{sockets?: Record<string, number>, streams?: Record<string, {streams: number, sockets: number}>, sockets_cut?: number, backlog?: number, published?: number, repaired?: number, publish_failures?: number, resyncs?: number, errors?: number, resting?: Record<string, number>}} Figures
 * @typedef {{id: string, kind: "web" | "worker", started_at: string, beat_at: string, silent: boolean, build: string, figures: Figures}} Process
 * @typedef {{name: string, running: boolean, next_run: string, lag_s: number, last_finished: string | null, last_seconds: number | null, last_error: string | null, last_error_at: string | null, failing: boolean}} Job
 * @typedef {{at: string, processes: Process[], unpublished: number, lag_s: number, jobs: Job[]}} Answer
 */
import { useEffect, useState } from "preact/hooks";

import { Problem, get } from "../shared/api.js";
import { build } from "../shared/build.js";
import { has, number, span, stamp, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Card, Pane } from "./parts.js";
import { retry } from "./work.js";

const EVERY_MS = 4_000;
/** Events that wait so long to be published are a fault, not a moment's work. */
const LATE_S = 2;
/** A job that is due for so long has no worker, or one that is stuck. */
const OVERDUE_S = 120;

export function Status() {
  const [answer, setAnswer] = useState(/** @type {Answer | null} */ (null));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let timer = 0;
    let current = true;
    const look = async () => {
      try {
        if (!document.hidden || !answer) {
          const found = await get("/status");
          if (!current) return;
          setAnswer(found);
          setProblem("");
        }
      } catch (error) {
        if (!current && error instanceof Problem) return;
        retry(error);
        if (error instanceof Problem) setProblem(error.message);
      }
      if (current) timer = setTimeout(look, EVERY_MS);
    };
    void look();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, []);
  return html`
    <${Pane} title=${t("admin.status")} lead=${answer ? t("admin.status.at", { at: stamp(Date.parse(answer.at)) }) : t("link.connecting")}>
      <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
      ${answer && html`<${Told} answer=${answer} />`}
    <//>
  `;
}

/** @param {{answer: Answer}} props */
function Told({ answer }) {
  const { processes } = answer;
  /** @param {keyof Figures} name */
  const sum = (name) => processes.reduce((total, one) => total + (typeof one.figures[name] === "number" ? Number(one.figures[name]) : 0), 0);
  const silent = processes.filter((one) => one.silent).length;
  const resting = new Set(processes.flatMap((one) => Object.keys(one.figures.resting ?? {}))).size;
  const late = answer.unpublished > 0 && answer.lag_s > LATE_S;
  const facts = [
    { name: "processes", value: number(processes.length - silent), bad: silent > 0 },
    { name: "lag", value: answer.unpublished > 0 ? span(answer.lag_s) : t("admin.status.none"), bad: late },
    { name: "unpublished", value: number(answer.unpublished), bad: late },
    { name: "errors", value: number(sum("errors")), bad: sum("errors") > 0 },
    { name: "cut", value: number(sum("sockets_cut")), bad: false },
    { name: "overdue", value: number(answer.jobs.filter(troubled).length), bad: answer.jobs.some(troubled) },
    { name: "resting", value: number(resting), bad: resting > 0 },
    { name: "failures", value: number(sum("publish_failures")), bad: sum("publish_failures") > 0 },
  ];
  return html`
    <${Card} title=${t("admin.status.now")}>
      <dl class="figures">${facts.map((one) => html`<div key=${one.name} class=${one.bad ? "is-bad" : ""} data-figure=${one.name}><dt>${t(`admin.status.${one.name}`)}</dt><dd>${one.value}</dd></div>`)}</dl>
    <//>
    <div class="two">
      <${Counts} title=${t("admin.status.sockets")} heads=${["admin.status.kind", "admin.status.open"]} lines=${added(processes, "sockets", "role")} />
      <${Counts} title=${t("admin.status.streams")} heads=${["admin.status.stream", "admin.status.followed", "admin.status.open"]} lines=${followed(processes)} />
    </div>
    <${Jobs} jobs=${answer.jobs} />
    <${Card} title=${t("admin.status.each")}><ul class="entries">${processes.map((one) => html`<${One} key=${one.id} process=${one} at=${answer.at} />`)}</ul><//>
  `;
}

/** Whether somebody should look after a job. @param {Job} job */
const troubled = (job) => job.failing || job.lag_s > OVERDUE_S;

/** What is done by the clock. @param {{jobs: Job[]}} props */
const Jobs = ({ jobs }) => html`
  <${Card} title=${t("admin.status.jobs")}>
    ${jobs.length === 0
      ? html`<p class="list-empty">${t("admin.status.jobs.none")}</p>`
      : html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t("admin.status.jobs")}><table class="counts" data-testid="admin-jobs"><thead><tr>${["job", "last", "next", "late", "error"].map((head) => html`<th key=${head} scope="col">${t(`admin.status.jobs.${head}`)}</th>`)}</tr></thead><tbody>${jobs.map((job) => html`<${Scheduled} key=${job.name} job=${job} />`)}</tbody></table></div>`}
  <//>
`;

/** @param {{job: Job}} props */
const Scheduled = ({ job }) => html`
  <tr data-job=${job.name} class=${troubled(job) ? "is-bad" : ""}>
    <th scope="row">${has(`job.${job.name}`) ? t(`job.${job.name}`) : job.name}</th>
    <td>${job.running ? t("admin.status.jobs.running") : job.last_finished ? stamp(Date.parse(job.last_finished)) : t("admin.status.jobs.never")}</td>
    <td>${stamp(Date.parse(job.next_run))}</td>
    <td>${job.lag_s >= 1 ? span(job.lag_s) : t("admin.status.none")}</td>
    <td>${job.last_error ? html`<code>${job.last_error}</code> ${job.last_error_at && stamp(Date.parse(job.last_error_at))}` : t("admin.status.none")}</td>
  </tr>
`;

/** Sockets of each kind over all processes. @param {Process[]} processes @param {"sockets"} name @param {string} family */
function added(processes, name, family) {
  /** @type {Record<string, number>} */
  const total = {};
  for (const one of processes) for (const [kind, count] of Object.entries(one.figures[name] ?? {})) total[kind] = (total[kind] ?? 0) + count;
  return Object.entries(total).map(([kind, count]) => [has(`${family}.${kind}`) ? t(`${family}.${kind}`) : kind, number(count)]);
}

/** Streams of each kind over all processes, and the sockets that follow them. @param {Process[]} processes */
function followed(processes) {
  /** @type {Record<string, {streams: number, sockets: number}>} */
  const total = {};
  for (const one of processes)
    for (const [kind, count] of Object.entries(one.figures.streams ?? {}))
      total[kind] = { streams: (total[kind]?.streams ?? 0) + count.streams, sockets: (total[kind]?.sockets ?? 0) + count.sockets };
  return Object.entries(total).map(([kind, count]) => [has(`stream.${kind}`) ? t(`stream.${kind}`) : kind, number(count.streams), number(count.sockets)]);
}

/** @param {{title: string, heads: string[], lines: string[][]}} props */
const Counts = ({ title, heads, lines }) => html`
  <${Card} title=${title}>
    ${lines.length === 0
      ? html`<p class="list-empty">${t("admin.status.none")}</p>`
      : html`<table class="counts"><thead><tr>${heads.map((head) => html`<th key=${head} scope="col">${t(head)}</th>`)}</tr></thead><tbody>${lines.map((line) => html`<${Count} key=${line[0]} line=${line} />`)}</tbody></table>`}
  <//>
`;

/** @param {{line: string[]}} props */
const Count = ({ line }) => html`<tr>${line.map((cell, at) => (at === 0 ? html`<th scope="row">${cell}</th>` : html`<td>${cell}</td>`))}</tr>`;

/** @param {{process: Process, at: string}} props */
function One({ process, at }) {
  const age = (Date.parse(at) - Date.parse(process.beat_at)) / 1_000;
  const figures = [["published", process.figures.published], ["repaired", process.figures.repaired], ["resyncs", process.figures.resyncs], ["backlog", process.figures.backlog], ["errors", process.figures.errors]];
  const resting = Object.entries(process.figures.resting ?? {});
  return html`
    <li class="entry is-link" data-testid="admin-process" data-kind=${process.kind} data-silent=${process.silent}>
      <div class="entry-main"><strong>${t(`admin.status.${process.kind}`)}</strong><small class="soft"><code>${process.id}</code></small></div>
      <dl class="facts">
        <div><dt>${t("admin.devices.life")}</dt><dd><span class=${`mark ${process.silent ? "is-off" : "is-on"}`}><i class="dot"></i>${process.silent ? t("admin.devices.silent", { age: span(age) }) : t("admin.devices.alive")}</span></dd></div>
        <div><dt>${t("admin.status.since")}</dt><dd>${stamp(Date.parse(process.started_at))}</dd></div>
        ${figures.map(([name, value]) => typeof value === "number" && html`<div key=${name}><dt>${t(`admin.status.${name}`)}</dt><dd>${number(value)}</dd></div>`)}
        ${resting.length > 0 && html`<div><dt>${t("admin.status.resting")}</dt><dd>${resting.map(([provider, seconds]) => html`<span key=${provider}><bdi>${provider}</bdi> ${span(seconds)} </span>`)}</dd></div>`}
      </dl>
      <div class="entry-steps">${process.build && html`<span class="soft">${process.build === build ? t("admin.devices.build.new") : t("admin.devices.build.old")} <code>${process.build.slice(0, 7)}</code></span>`}</div>
    </li>
  `;
}
