/** The subscriber's state machine and the one reducer, against the vectors that Python's reducer is held by too. */
import { Subscription, reduce } from "/clients/shared/stream.js";

import { Failures } from "./check.js";

const vectors = async (name) => (await fetch(`/tests/vectors/${name}.json`)).json();

export async function reducer() {
  const failures = new Failures();
  for (const { name, rows, data, after } of await vectors("reducer")) {
    const before = new Map(Object.entries(rows));
    const found = data.reduce(reduce, before);
    failures.same(name, Object.fromEntries(found), after);
    failures.same(`${name}: the rows before stay as they were`, Object.fromEntries(before), rows);
  }
  return failures;
}

const event = (written, epoch = "a") => {
  const [of, version] = Array.isArray(written) ? written : [epoch, written];
  return { type: "queue-updated", stream: "board:5", epoch: of, version, at: "", data: { put: { v: { version } } } };
};

export async function subscriber() {
  const failures = new Failures();
  for (const { name, from, steps } of (await vectors("stream")).cases) {
    const sub = new Subscription("board:5", from);
    steps.forEach((step, index) => {
      const at = `${name}, step ${index + 1}`;
      let outcome = { applied: [], snapshot: false, again: false };
      if (step.do === "ask") {
        const asked = sub.ask();
        if (step.asked) failures.same(at, asked, step.asked);
      } else if (step.do === "cut") sub.cut();
      else if (step.do === "receive") outcome = sub.receive(event(step.event));
      else {
        const answer = { epoch: step.epoch, version: step.version };
        if ("snapshot" in step) answer.snapshot = { rows: step.snapshot === null ? {} : { v: { version: step.snapshot } } };
        else answer.events = step.events.map((one) => event(one, step.epoch));
        outcome = sub.answer(answer);
      }
      const is = { ...outcome, applied: outcome.applied.map((one) => one.version), phase: sub.phase, version: sub.version, v: sub.rows.get("v")?.version };
      for (const [what, expected] of Object.entries(step.is ?? {})) failures.same(`${at}, ${what}`, is[what], expected);
    });
  }
  return failures;
}
