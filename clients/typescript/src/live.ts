// What goes on in a mission and is never stored: text as it is being said, who is writing, who points where.

import type { Author, EventFrame, LiveItem, MissionLive, UserId } from "./generated.js";

/** What goes on in a mission now. */
export interface Live {
  /** What is being said, each as far as it has come. */
  texts: readonly { stream: string; by: Author; text: string }[];
  /** Who is writing. */
  typing: readonly { user: UserId; name: string }[];
  /** Who points where, in the clients' own terms. */
  cursors: readonly { user: UserId; name: string; at: unknown }[];
}

/** Nothing goes on. */
export const STILL: Live = { texts: [], typing: [], cursors: [] };

/** What goes on after a notice; `live` itself stays as it is. */
export function applyLive(live: Live, notice: Pick<MissionLive, "whole" | "items">): Live {
  return notice.items.reduce(applyItem, notice.whole ? STILL : live);
}

/** What goes on after an event: the text that it is the whole of is not being said any more. */
export function settleLive(live: Live, frame: EventFrame): Live {
  const stream = frame.kind === "activity_logged" ? frame.stream : undefined;
  return stream === undefined ? live : applyItem(live, { type: "text_end", stream });
}

function applyItem(live: Live, item: LiveItem): Live {
  switch (item.type) {
    case "text": {
      const { stream, by, text } = item;
      const known = live.texts.some((said) => said.stream === stream);
      const texts = known
        ? live.texts.map((said) => (said.stream === stream ? { ...said, text: said.text + text } : said))
        : [...live.texts, { stream, by, text }];
      return { ...live, texts };
    }
    case "text_end":
      return { ...live, texts: live.texts.filter((said) => said.stream !== item.stream) };
    case "typing": {
      const others = live.typing.filter(({ user }) => user !== item.user);
      return { ...live, typing: item.on ? [...others, { user: item.user, name: item.name }] : others };
    }
    case "cursor": {
      const others = live.cursors.filter(({ user }) => user !== item.user);
      const { user, name, at } = item;
      return { ...live, cursors: at === null || at === undefined ? others : [...others, { user, name, at }] };
    }
    default:
      // Of a later version.
      return live;
  }
}
