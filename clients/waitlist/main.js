// @ts-check
/** Owns the start of the waitlist as those who work here see it: who has signed in, and that the page follows them. */
import { user } from "../shared/session.js";
import { start } from "../shared/start.js";
import { Waitlist } from "./view.js";
import { begin, end } from "./work.js";

void start({ view: Waitlist, title: "waitlist.title", begin: () => user.peek()?.role !== "patient" && begin(), end });
