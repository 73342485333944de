// @ts-check
/** Owns the schedule page's start: who has signed in, and that the page follows them. */
import { user } from "../shared/session.js";
import { start } from "../shared/start.js";
import { Schedule } from "./view.js";
import { begin, end } from "./work.js";

void start({ view: Schedule, title: "schedule.title", begin: () => user.peek()?.role !== "patient" && begin(), end });
