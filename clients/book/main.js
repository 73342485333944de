// @ts-check
/** Owns the booking page's start: the language, who is signed in, and nothing left of them when they have gone. */
import { effect } from "@preact/signals";

import { start } from "../shared/start.js";
import { begin, end, times } from "./booking.js";
import { whenKnown } from "./catalogue.js";
import { hold } from "./hold.js";
import { go, place } from "./route.js";
import { Book } from "./view.js";

void start({
  view: Book,
  title: "book.title",
  begin: whenKnown(begin),
  end,
  // The last step is there only with a time to book.
  drawn: () => effect(() => void (hold.value === null && place.value.step === "form" && times.value && go({ ...place.peek(), step: "times" }, { replace: true }))),
});
