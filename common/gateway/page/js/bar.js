/** The bar: the rig's name, its state in one phrase, its clock and how far this view lags, Live, theme, help. */

import { byId, setAttr, setText } from "./dom.js";
import { clock, dateUnlessToday, duration, number, roughly } from "./format.js";
import { phrase } from "./health.js";
import { icon, setIcon } from "./icons.js";

const SAY_EVERY_MS = 5000; // screen readers
const CLOCK_OFF_S = 2;
const FRAMES_S = 2; // without frames for so long the lag is that of the status

export function createBar({ link, state, range, theme, help, alarms }) {
  const badge = byId("phrase");
  const badgeIcon = badge.insertBefore(icon("normal"), badge.firstChild);
  const live = byId("live");
  const liveIcon = live.insertBefore(icon("pause"), live.firstChild);
  let saidAt = -Infinity;
  let said = "";

  for (const button of document.querySelectorAll("[data-does=theme]")) {
    button.prepend(icon("theme"));
    button.addEventListener("click", theme.toggle);
  }
  for (const button of document.querySelectorAll("[data-does=help]")) {
    button.prepend(icon("help"));
    button.addEventListener("click", help);
  }
  live.addEventListener("click", () => (range.get().live ? range.pause() : range.live()));

  function announce(text, assertive) {
    if (text === said || performance.now() - saidAt < SAY_EVERY_MS) return;
    [said, saidAt] = [text, performance.now()];
    byId(assertive ? "say-now" : "say").textContent = text;
  }

  function lag() {
    if (link.state !== "live") return link.nextTry_s() > 0 ? "not connected" : "reconnecting";
    const ahead = state.viewerAhead_s();
    if (ahead !== null && Math.abs(ahead) > CLOCK_OFF_S) return `your clock is ${duration(Math.abs(ahead))} ${ahead > 0 ? "ahead" : "behind"}`;
    const newest = link.newest();
    const fresh = newest.t_ns && performance.now() - newest.at_ms < FRAMES_S * 1000;
    const behind = fresh ? state.now() - newest.t_ns / 1e9 : state.now() - state.heard_s();
    const { live: following, to_s } = range.get();
    const date = following ? "" : dateUnlessToday(to_s, state.now(), state.zone_s());
    if (date) return [`shows ${date}`, ` to ${clock(to_s, state.zone_s(), { seconds: false })}`];
    return [following ? "live" : "paused", ` · ${number(Math.max(0, behind), 1)} s behind`];
  }

  function render() {
    const rig = state.get("rig");
    const { live: following } = range.get();
    setText(byId("rig"), rig?.node ?? "rig");
    const now = phrase(state, link, alarms());
    setAttr(badge, "data-state", now.state);
    setIcon(badgeIcon, now.state);
    setText(badge.lastElementChild, now.age_s === undefined ? now.text : `${now.text} for ${roughly(now.age_s)}`);
    document.title = `${rig?.node ?? "rigbus"} · ${now.text}`;
    announce(now.text, now.state === "latched");
    // a clock without a link stands still: it is the rig's
    setText(byId("clock"), clock(link.state === "live" ? state.now() : state.heard_s(), state.zone_s()));
    const [word, more = ""] = [lag()].flat();
    setText(byId("lag").firstChild, word);
    setText(byId("lag").lastChild, more);
    setIcon(liveIcon, following ? "pause" : "play");
    setText(live.lastElementChild, following ? "Live" : "Go live");
    setAttr(live, "aria-label", following ? "Live: pause" : "Go live");
  }

  return { render };
}
