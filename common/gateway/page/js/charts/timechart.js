/** A chart over the shared time range: lanes of series, losses and holes hatched and named, a cursor that all charts share. */

import { h } from "../dom.js";
import { clock, dateUnlessToday, moment } from "../format.js";
import { gestures } from "./gestures.js";
import { drawFlags, drawHatch } from "./hatch.js";
import { drawAxes, laneY, levels, namesWidth } from "./lanes.js";
import { blanks, concerns, flags, unaccounted } from "./losses.js";
import { Note } from "./note.js";
import { drawSeries } from "./paint.js";
import { Picture } from "./picture.js";
import { Plot } from "./plot.js";

const HATCH_PX = 4;
const middle = ({ from_s, to_s }) => (from_s + to_s) / 2;

export class TimeChart {
  /** page: what mountCharts was given, with loop and ledger. spec:
   * key, name; prefix, src: whose losses; per_s: pictures a second at most;
   * series: [{name, stream, label, token, lane, period_s, say(lo, hi, mean)}], and for paint.js: hold, band, fill, bound();
   * lanes: [{y: YScale, text(v, step), label, named, target()}];
   * silent(): {since_s, word: "", "paused", "stopped"} while nothing comes, else null; hover({time, values} or null).
   */
  constructor(page, parent, spec) {
    Object.assign(this, { page, spec, series: spec.series, lanes: spec.lanes, losses: [], blank: [], view: null, axis_px: 0 });
    const { link, range, state, theme, cursor, loop, ledger } = page;
    this.sentence = h("p", { class: "unseen", id: `about-${spec.key}` });
    this.line = h("div", { class: "chart-cursor", hidden: true });
    this.chosen = h("div", { class: "chart-chosen", hidden: true });
    this.over = h("div", { class: "chart-over" }, this.line, this.chosen);
    this.el = h("div", { class: "chart", tabindex: 0, role: "group", "aria-label": `${spec.name}, over time`,
      "aria-describedby": this.sentence.id }, this.sentence);
    parent.append(this.el);
    this.item = loop.add(this.el, spec.per_s, () => this.#draw());
    const dirty = () => this.item.dirty();
    this.plot = new Plot(this.el, spec.name, this.sentence.id, () => {
      // Room for usual labels from the start: columns of another width would have to be asked for again.
      this.plot.font(600);
      this.axis_px = spec.lanes[0]?.named ? 0 : Math.ceil((4.4 * this.plot.size + namesWidth(this.plot, spec.lanes)) / 4) * 4;
      dirty();
    });
    this.picture = new Picture({ link, range, state, series: spec.series, width: () => Math.round(this.plot.box.width), changed: () => this.item.dirty(true) });
    this.note = new Note(this.el, this.picture, page);
    const stop = [theme.on(dirty), ledger.on(dirty), cursor.on(() => this.#place())];
    document.fonts?.ready.then(dirty);
    this.close = () => {
      for (const end of stop) end?.();
      loop.remove(this.item);
      this.picture.close();
      this.plot.close();
      this.el.remove();
    };
    gestures(this.over, this.el, {
      range, cursor, view: () => this.view ?? this.picture.view(), now: () => state.now(),
      select: (a, b) => {
        this.chosen.hidden = a === null;
        Object.assign(this.chosen.style, { left: `${a}px`, width: `${b - a}px` });
      },
    });
  }

  /** To be called often: draws where time has come to a new column. */
  tick() {
    this.picture.look();
    if (this.plot.ready && this.picture.view().to_s !== this.view?.to_s) this.item.dirty();
  }

  y(lane, value) {
    return laneY(this.plot, this.lanes, lane, value);
  }

  #draw() {
    const { plot, picture, page, spec } = this;
    if (!plot.ready) return;
    const { token } = page.theme;
    if (!plot.box.width) this.#frame([]);
    const view = picture.view();
    if (!this.view || Math.abs((this.view.to_s - this.view.from_s) / (view.to_s - view.from_s) - 1) > 1e-6) for (const { y } of this.lanes) y.reset();
    this.view = view;
    this.losses = page.ledger.of(spec.prefix, spec.src, view.from_s, view.to_s);
    this.#fit();
    const marks = levels(plot, this.lanes);
    this.#frame(marks);
    const zone_s = page.state.zone_s();
    const date = view.live ? "" : dateUnlessToday(view.to_s, page.state.now(), zone_s);
    drawAxes(plot, this.lanes, marks, { ...view, date }, zone_s, token);
    if (picture.columns) this.#fill(token);
    picture.look();
    this.note.show(this.series.length);
    this.#place();
  }

  /** The frame leaves room for the widest level; it only grows, or the time axis would jump. */
  #frame(marks) {
    const { plot } = this;
    plot.font(600);
    const names = namesWidth(plot, this.lanes);
    const wanted = Math.max(0, ...marks.map(([, , label]) => plot.measure(label) + 11)) + names;
    this.axis_px = Math.max(this.axis_px, Math.ceil(wanted / 4) * 4);
    plot.begin(this.axis_px, 12, plot.flag_px, Math.ceil(plot.size * 2.3));
    const { left, top, width, height } = plot.box;
    if (!this.over.isConnected) this.el.append(this.over);
    Object.assign(this.over.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  }

  #fit() {
    const { columns } = this.picture;
    if (!columns) return;
    const [first, last] = [columns.column(this.view.from_s), columns.column(this.view.to_s)];
    const wanted = new Map(); // by scale, since lanes may share one
    this.series.forEach(({ lane }, s) => {
      const found = columns.extremes([s], first, last);
      const had = wanted.get(this.lanes[lane].y) ?? [Infinity, -Infinity];
      if (found) wanted.set(this.lanes[lane].y, [Math.min(found[0], had[0]), Math.max(found[1], had[1])]);
    });
    for (const { y } of this.lanes) if (wanted.has(y)) y.fit(...wanted.get(y), performance.now() / 1000);
  }

  /** Series, hatches and flags. */
  #fill(token) {
    const { plot, picture, view, losses } = this;
    const { columns } = picture;
    const { left, top, width, height } = plot.box;
    const x = (t_s) => left + ((t_s - view.from_s) / (view.to_s - view.from_s)) * width;
    const now_s = this.page.state.now();
    const silent = this.spec.silent?.() ?? null;
    const silent_s = silent?.since_s ?? null;
    const end_s = silent_s === null ? now_s : Math.min(now_s, silent_s);
    const holes = this.#holes(silent_s);
    // Raw values make way for the hatch, or a line would run through a loss of a few ms; sums over minutes stay.
    const hide = picture.source_s === 0;
    const hatched = (range) => {
      const [a, b] = [Math.max(range.from_s, view.from_s), Math.min(range.to_s, view.to_s)];
      const wide_s = Math.max(b - a, (HATCH_PX * (view.to_s - view.from_s)) / width);
      const from_s = Math.min((a + b - wide_s) / 2, view.to_s - wide_s);
      return { ...range, from_s, to_s: from_s + wide_s };
    };
    const hatch = ({ from_s, to_s }, colour) => drawHatch(plot.ctx, x(from_s), top, x(to_s) - x(from_s), height, colour);
    const narrow_s = (HATCH_PX * (view.to_s - view.from_s)) / width;
    // Where the columns cannot tell what is missing within a range, all of it is hatched.
    const parts = losses.map((loss) => (loss.to_s - loss.from_s <= narrow_s ? null : this.#blanks(loss)));
    this.blank = losses.flatMap((loss, i) => (parts[i] ?? [loss]).map((part) => ({ ...loss, ...part })));
    const masked = losses.flatMap((loss, i) => parts[i]?.map((part) => ({ ...loss, ...part })) ?? [hide ? hatched(loss) : loss]);
    plot.inside((ctx) => {
      ctx.globalAlpha = picture.dim ? 0.4 : 1;
      this.series.forEach((series, s) => {
        const y = (v) => this.y(series.lane, v);
        const lost = columns.mask(masked.filter((loss) => concerns(loss, series.stream, this.spec.src)));
        drawSeries(ctx, { columns, s, view, x, y, series, lost, hide, end_s, limit_s: this.limit(s), colour: token(series.token) });
      });
      for (const [from_s, to_s] of holes) hatch(hatched({ from_s, to_s }), token("text2"));
      for (const range of this.blank) hatch(hatched(range), token("loss"));
    });
    plot.font(600);
    const stem = (loss, found) => (found?.length ? (found.at(-1).from_s + found.at(-1).to_s) / 2 : found ? Math.min(loss.to_s, view.to_s) : middle(hatched(loss)));
    const marks = losses.map((loss, i) => ({ x: x(stem(loss, parts[i])) - left, loss })).sort((p, q) => p.x - q.x);
    const told = flags(marks, (text) => plot.measure(text), width);
    drawFlags(plot, told, token("loss"));
    for (const [a, b] of holes) {
      const words = silent?.word && b > silent_s ? silent.word : this.#why();
      const wide = plot.measure(words);
      const at = Math.min(Math.max(0, x(a) - left), width - wide);
      if (told.some((flag) => flag.left < at + wide + 8 && flag.right > at - 8)) continue;
      told.push({ left: at, right: at + wide });
      drawFlags(plot, [{ stems: [], text: words, left: at }], token("text2"));
    }
  }

  /** The parts of a loss's range in which this chart has no values. */
  #blanks(loss) {
    const { columns, periods_s } = this.picture;
    const { view, spec } = this;
    const list = this.series.flatMap(({ stream }, s) => (concerns(loss, stream, spec.src) ? [s] : []));
    const periods = list.map((s) => periods_s[s] ?? this.series[s].period_s ?? null);
    const seen = { from_s: Math.max(loss.from_s, view.from_s), to_s: Math.min(loss.to_s, view.to_s) };
    return blanks(columns, list, seen, periods.includes(null) ? null : Math.max(0, ...periods));
  }

  /** What is known of a hole that no loss explains. */
  #why() {
    const { link, ledger } = this.page;
    if (link.state !== "live") return "not received yet";
    return ledger.knows(this.view.from_s) ? "no data, not yet accounted" : "no data";
  }

  /** s without a value that break a line; steps hold. */
  limit(s) {
    if (this.series[s].hold) return Infinity;
    return 3 * (this.picture.periods_s[s] ?? this.series[s].period_s ?? 1);
  }

  /** Stretches without values that no loss explains. */
  #holes(silent_s) {
    const { picture, view, losses } = this;
    const { columns } = picture;
    const found = this.series.flatMap((_, s) => columns.gaps(s, columns.column(view.from_s), columns.column(view.to_s), this.limit(s)));
    if (silent_s !== null && view.live && view.to_s - silent_s > 1) found.push([Math.max(silent_s, view.from_s), view.to_s]);
    found.sort((p, q) => p[0] - q[0]);
    const joined = [];
    // What is not in the store yet is no hole.
    const old_s = picture.filling ? this.page.state.now() - 15 : Infinity;
    for (const [a, b] of found) {
      if (a > old_s && silent_s === null) continue;
      if (joined.length && a <= joined.at(-1)[1]) joined.at(-1)[1] = Math.max(b, joined.at(-1)[1]);
      else joined.push([a, b]);
    }
    return unaccounted(joined, losses, columns.step_s);
  }

  /** The cursor's line, where its time is in view. */
  #place() {
    const { view, plot } = this;
    if (!view) return;
    const t_s = this.page.cursor.get();
    const share = t_s === null ? -1 : (t_s - view.from_s) / (view.to_s - view.from_s);
    const inside = share >= 0 && share <= 1;
    this.line.hidden = !inside;
    if (inside) this.line.style.transform = `translateX(${Math.round(share * plot.box.width)}px)`;
    this.spec.hover?.(inside ? this.at(t_s) : null);
  }

  /** {time, values: [[label, text]]} at a time. */
  at(t_s) {
    const { state } = this.page;
    const { columns } = this.picture;
    const long = this.view.to_s - this.view.from_s > 86400;
    const time = long ? moment(t_s, state.now(), state.zone_s()) : clock(t_s, state.zone_s());
    const lost = this.blank.some((l) => l.from_s <= t_s && l.to_s >= t_s);
    const values = this.series.map((series, s) => {
      const back = series.hold ? undefined : Math.ceil(this.limit(s) / columns?.step_s);
      const k = columns && !lost ? columns.filled(s, columns.column(t_s), back) : -1;
      const i = k < 0 ? -1 : columns.at(k);
      return [series.label, i < 0 ? "–" : series.say(columns.lo[s][i], columns.hi[s][i], columns.mean[s][i])];
    });
    return { time, values };
  }
}
