"""The page in a real browser: when it first paints, and how old a sample is when its frame is drawn."""

import time
from typing import Any

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
LOOK_S = 15.0
# every message, with the time of the animation frame after the page has taken it
LISTEN = """
const Plain = WebSocket;
window.heard = [];
window.WebSocket = class extends Plain {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", ({ data }) => requestAnimationFrame(() => {
      if (window.heard.length < 20000) window.heard.push([performance.timeOrigin + performance.now(), data]);
    }));
  }
};
"""
AGES = """async () => {
  const { decode } = await import("/js/msgpack.js");
  const ages = [];
  for (const [shown_ms, data] of window.heard) {
    const said = decode(data);
    for (const [topic, f] of said.type === "frames" ? said.frames : []) {
      if (!topic.startsWith("samples/")) continue;
      const span = Array.isArray(f.dt_ns) ? f.dt_ns.reduce((a, b) => a + b, 0) : f.dt_ns * (f.n - 1);
      ages.push(shown_ms - (f.t + span) / 1e6);
    }
  }
  return ages;
}"""


def look(url: str, times: int) -> tuple[list[float], list[float]]:
    """First paints in ms, one a visit without a cache; ages in ms of each frame's last sample when it is shown."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        try:
            paints = []
            for _ in range(times):
                page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
                page.goto(url)
                paints.append(_paint_ms(page))
                page.context.close()
            page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
            page.add_init_script(LISTEN)
            page.goto(url)
            time.sleep(LOOK_S)
            ages: list[float] = page.evaluate(AGES)
        finally:
            browser.close()
    return paints, ages


def _paint_ms(page: Page) -> float:
    script = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    for _ in range(100):
        found: Any = page.evaluate(script)
        if found is not None:
            return float(found)
        time.sleep(0.1)
    raise TimeoutError("the page paints nothing in 10 s")
