/** The page's line to the rig: `/live` with its reconnects, and HTTP with the token (docs/http.md). */

import { decode } from "./msgpack.js";

const WAITS_S = [0, 0.5, 1, 2, 4, 8];
const STALE_S = 2.5;
const DEAD_S = 6; // an open socket that says nothing for so long is given up
const PING_MS = 1000;

/** How long to wait before the nth try in a row, with ±20 % jitter (random: 0 to 1). */
export const waitBefore = (tries, random) => WAITS_S[Math.min(tries, WAITS_S.length - 1)] * (0.8 + 0.4 * random);

/** Topics and rate of all subscribers together; a hidden tab gets no samples. */
export function union(subscriptions, hidden) {
  const all = [...subscriptions.values()];
  const topics = [...new Set(all.flatMap((each) => each.topics))].filter((topic) => !hidden || !topic.startsWith("samples"));
  return { topics, samples_hz: Math.max(0, ...all.map((each) => each.samples_hz ?? 0)) };
}

export class HttpError extends Error {
  /** status 0: no answer. detail: whatever the gateway added. */
  constructor(message, status, detail = null) {
    super(message);
    Object.assign(this, { status, detail });
  }
}

export function createLink(token) {
  const listeners = new Map();
  const subscriptions = new Map();
  let socket = null;
  let timer = 0;
  let tries = 0;
  let nextAt = 0;
  let heardAt = null; // ms of performance.now()
  let shown = "down";
  let newestNs = null; // time of the newest datum among the frames
  let newestAt = 0;

  const emit = (type, message) => listeners.get(type)?.forEach((fn) => fn(message));
  const age = () => (heardAt === null ? null : (performance.now() - heardAt) / 1000);
  const judge = () => (heardAt === null ? "down" : age() > STALE_S ? "stale" : "live");

  function look() {
    const now = judge();
    if (now === shown) return;
    shown = now;
    emit("state", now);
  }

  function send(message) {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  const sendTopics = () => send({ op: "subscribe", ...union(subscriptions, document.hidden) });

  function connect() {
    clearTimeout(timer);
    timer = 0;
    drop();
    tries += 1;
    const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    mine.binaryType = "arraybuffer";
    mine.onopen = () => {
      if (token.get()) send({ op: "hello", token: token.get() });
      send({ op: "status", sections: null });
      sendTopics();
    };
    mine.onmessage = ({ data }) => receive(typeof data === "string" ? JSON.parse(data) : decode(data));
    mine.onclose = () => {
      if (socket !== mine) return;
      socket = null;
      if (heardAt === null) askWhy();
      plan();
    };
    socket = mine;
    setTimeout(() => mine === socket && mine.readyState === WebSocket.CONNECTING && mine.close(), 5000);
  }

  function drop() {
    const old = socket;
    socket = null;
    old?.close();
  }

  function plan() {
    if (token.wanted) return;
    const wait_s = waitBefore(tries, Math.random());
    nextAt = performance.now() + wait_s * 1000;
    timer = setTimeout(connect, wait_s * 1000);
  }

  function receive(message) {
    heardAt = performance.now();
    tries = 0;
    if (message.type === "frames") note(message.frames);
    if (message.type === "reply" && message.op === "hello" && message.ok === false) token.refused();
    emit(message.type, message);
    look();
  }

  function note(frames) {
    let newest = 0;
    for (const [, frame] of frames) {
      const span = frame.k === "samples" && frame.rate_hz > 0 ? (frame.n / frame.rate_hz) * 1e9 : 0;
      newest = Math.max(newest, frame.t + span);
    }
    newestNs = newest || newestNs;
    newestAt = performance.now();
  }

  // a refused WebSocket says nothing: HTTP tells whether a token is what is missing
  const askWhy = () => request("GET", "/api/status").catch(() => {});

  async function call(method, path, { body, accept = "application/json", signal = AbortSignal.timeout(10_000) } = {}) {
    const headers = { Accept: accept };
    if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new HttpError("the rig does not answer", 0);
    }
    if (answer.status === 401) token.refused();
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      throw new HttpError(said.error ?? `status ${answer.status}`, answer.status, said.detail ?? null);
    }
    return answer;
  }

  /** The JSON of an answer; anything else is an HttpError. */
  async function request(method, path, body, signal) {
    return (await call(method, path, { body, signal })).json();
  }

  /** A MessagePack answer, binary arrays as views. */
  async function fetchPack(path, signal) {
    return decode(await (await call("GET", path, { accept: "application/msgpack", signal })).arrayBuffer());
  }

  setInterval(() => {
    look();
    send({ op: "ping", id: 0 });
    if (socket?.readyState === WebSocket.OPEN && age() > DEAD_S) {
      drop();
      plan();
    }
  }, PING_MS);
  setInterval(look, 100);
  const again = () => {
    if (!socket) {
      tries = 0;
      connect();
    }
  };
  addEventListener("online", again);
  document.addEventListener("visibilitychange", () => {
    sendTopics();
    if (!document.hidden) again();
  });
  token.on((wanted) => !wanted && (drop(), connect()));

  return {
    connect,
    tryNow: again,
    send,
    request,
    fetchPack,
    age,
    get state() {
      return shown;
    },
    get tries() {
      return tries;
    },
    /** Seconds to the next try; 0 while one is under way. */
    nextTry_s: () => (socket ? 0 : Math.max(0, (nextAt - performance.now()) / 1000)),
    /** {t_ns, at_ms} of the newest frame that came. */
    newest: () => ({ t_ns: newestNs, at_ms: newestAt }),
    on(type, fn) {
      if (!listeners.has(type)) listeners.set(type, new Set());
      listeners.get(type).add(fn);
      return () => listeners.get(type).delete(fn);
    },
    subscribe(key, topics, samples_hz) {
      subscriptions.set(key, { topics, samples_hz });
      sendTopics();
    },
    unsubscribe(key) {
      if (subscriptions.delete(key)) sendTopics();
    },
  };
}
