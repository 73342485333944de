// @ts-check
/** Owns the start of the page of own appointments: the language, who is signed in, and nothing left of them when they have gone. */
import { whenKnown } from "../book/catalogue.js";
import { worker } from "../shared/offline.js";
import { lookAtPush } from "../shared/push.js";
import { user } from "../shared/session.js";
import { start } from "../shared/start.js";
import { begin, end } from "./state.js";
import { Mine } from "./view.js";

const known = whenKnown(begin);

void start({
  view: Mine,
  title: "mine.title",
  begin: () => {
    if (user.peek()?.patient_id) void lookAtPush();
    void known();
  },
  end,
  drawn: () => void worker(),
});
