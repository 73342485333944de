/** What a board lists and announces, and that announcing never stops. */
import { Announcer } from "/clients/board/announcer.js";
import { after, afterSnapshot, due, dueInSnapshot, takenBack, trimmed } from "/clients/board/calls.js";

import { Failures } from "./check.js";

const AT = Date.parse("2026-11-21T09:00:00Z");
const iso = (seconds) => new Date(AT + seconds * 1000).toISOString();

const called = (ticket, version, { number = 1, state = "called" } = {}) => {
  const token = `A00${ticket}`;
  const row = { ticket, token, state, rank: ticket, desk: "Room 3", call: { number, at: iso(version), version } };
  return { type: number > 1 ? "patient-recalled" : "patient-called", stream: "board:5", epoch: "a", version, at: iso(version), data: { ticket, token, desk: "Room 3", number, put: { [`t:${ticket}`]: row } } };
};
const undone = (ticket, version) => ({ type: "ticket-undone", stream: "board:5", epoch: "a", version, at: iso(version), data: { ticket, token: `A00${ticket}`, undid: "call", put: { [`t:${ticket}`]: { ticket, state: "waiting", call: null } } } });
const rowsOf = (...events) => new Map(events.flatMap((event) => Object.entries(event.data.put)));
const tokens = (calls) => calls.map((call) => call.token);

export function lists() {
  const failures = new Failures();
  const [one, two, three] = [called(1, 1), called(2, 2), called(3, 3)];
  const all = after([], [one, two, three]);
  failures.same("newest first", tokens(all), ["A003", "A002", "A001"]);
  failures.same("a recall moves up, once", tokens(after(all, [called(1, 4, { number: 2 })])), ["A001", "A003", "A002"]);
  failures.same("a call taken back is not listed", tokens(after(all, [undone(2, 4)])), ["A003", "A001"]);
  const current = (call) => call.token === "A001";
  failures.same("what is being called is never pushed out", tokens(trimmed(all, current, AT, 2)), ["A003", "A001"]);
  failures.same("what is over goes after a while", tokens(trimmed(all, current, AT + 3_600_000, 9)), ["A001"]);
  const seen = called(4, 9, { state: "in_consultation" });
  failures.same("a snapshot joins what is known", tokens(afterSnapshot(all, "board:5", rowsOf(one, seen))), ["A004", "A003", "A002", "A001"]);
  return failures;
}

export function announcements() {
  const failures = new Failures();
  const [one, two] = [called(1, 1), called(2, 2)];
  const seen = { ...called(1, 3), type: "consultation-started" };
  seen.data.put["t:1"].state = "in_consultation";
  const rows = rowsOf(one, two, seen);
  failures.same("live: every call", tokens(due([one, two, seen], false, rows)), ["A001", "A002"]);
  failures.same("after a gap: who is still being called", tokens(due([one, two, seen], true, rows)), ["A002"]);
  const again = called(2, 4, { number: 2 });
  failures.same("after a gap: a ticket's newest call alone", due([two, again], true, rowsOf(two, again)).map((call) => call.version), [4]);
  failures.same("a snapshot: called just now", tokens(dueInSnapshot("board:5", rows, AT + 30_000)), ["A002"]);
  failures.same("a snapshot: not what is old", dueInSnapshot("board:5", rows, AT + 300_000), []);
  const [call] = after([], [one]);
  failures.same("taken back", takenBack(call, undone(1, 5)), true);
  failures.same("another's undo takes nothing back", takenBack(call, undone(2, 5)), false);
  return failures;
}

const PACE = { alone: 5, busy: 1, chime: 20, beyond: 0, patience: () => 20 };
const numbers = (n) => after([], Array.from({ length: n }, (_, at) => called(at + 1, at + 1))).reverse();

/** A stage that notes what happens, and how many speak at once. */
function stage(over = {}) {
  const notes = { said: [], done: [], most: 0, resting: null };
  let speaking = 0;
  notes.rested = new Promise((done) => (notes.resting = done));
  return {
    notes,
    pointless: () => false,
    show() {},
    sound: async () => {},
    sentences: (call) => [{ text: call.token, lang: "en" }],
    async say(text) {
      speaking += 1;
      notes.most = Math.max(notes.most, speaking);
      await new Promise((done) => setTimeout(done, 2));
      speaking -= 1;
      notes.said.push(text);
    },
    said: (call) => void notes.done.push(call.token),
    rest: () => notes.resting(),
    ...over,
  };
}

export async function inOrder() {
  const failures = new Failures();
  const calls = numbers(9);
  const plain = stage();
  const announcer = new Announcer(plain, PACE);
  for (const call of calls) announcer.push(call);
  await plain.notes.rested;
  failures.same("all, in order", plain.notes.said, tokens(calls));
  failures.same("never two at once", plain.notes.most, 1);
  failures.same("idle afterwards", announcer.idle, true);

  const languages = stage({ sentences: (call) => ["en", "hi"].map((lang) => ({ text: `${call.token} ${lang}`, lang })) });
  const both = new Announcer(languages, PACE);
  for (const call of calls.slice(0, 2)) both.push(call);
  await languages.notes.rested;
  failures.same("one language after the other", languages.notes.said, ["A001 en", "A001 hi", "A002 en", "A002 hi"]);
  return failures;
}

export async function survives() {
  const failures = new Failures();
  const calls = numbers(4);
  const never = () => new Promise(() => {});
  const fails = () => {
    throw new Error("no loudspeaker");
  };
  for (const [name, over] of Object.entries({
    "speech that never ends": { say: never },
    "speech that throws": { say: fails },
    "a chime that never ends": { sound: never },
    "drawing that throws": { show: fails },
  })) {
    const broken = stage(over);
    const announcer = new Announcer(broken, PACE);
    for (const call of calls) announcer.push(call);
    await broken.notes.rested;
    failures.same(name, broken.notes.done, tokens(calls));
  }
  return failures;
}

export async function withdraws() {
  const failures = new Failures();
  const calls = numbers(4);
  const plain = stage();
  const announcer = new Announcer(plain, PACE);
  for (const call of calls) announcer.push(call);
  announcer.withdraw((call) => call.token === "A001" || call.token === "A003");
  await plain.notes.rested;
  failures.same("the one being announced is finished, one taken back is not begun", plain.notes.said, ["A001", "A002", "A004"]);
  return failures;
}

export async function catchesUp() {
  const failures = new Failures();
  const calls = numbers(5);
  const waits = [];
  const behind = stage({
    pointless(call, waited) {
      waits.push(waited);
      return call.token === "A002" || call.token === "A005";
    },
  });
  const announcer = new Announcer(behind, PACE);
  for (const call of calls) announcer.push(call);
  await behind.notes.rested;
  failures.same("what has become pointless is left out, the last one too", behind.notes.said, ["A001", "A003", "A004"]);
  failures.same("it is told how long each has waited", waits[0] < 5 && waits[3] > 0, true);
  failures.same("idle afterwards", announcer.idle, true);
  return failures;
}
