/** Puts the page together. What moves the rig comes first: no fault elsewhere may take the stop away. */

import { createAccount } from "./account.js";
import { createArm } from "./arm.js";
import { createAttention } from "./attention.js";
import { createBar } from "./bar.js";
import { createHelp, createTokenField } from "./dialogs.js";
import { h } from "./dom.js";
import { createKeys } from "./keys.js";
import { createLatch } from "./latch.js";
import { createLink } from "./link.js";
import { createOutputs } from "./outputs.js";
import { createPanels } from "./panels.js";
import { createPumps } from "./pumps.js";
import { createRange } from "./range.js";
import { createRuler } from "./ruler.js";
import { createState } from "./state.js";
import { createStop } from "./stop.js";
import { createStorage } from "./storage.js";
import { createStrip } from "./strip.js";
import { createTheme } from "./theme.js";
import { createToken } from "./token.js";

const token = createToken();
const link = createLink(token);
const state = createState(link);
const stop = createStop({ link, state });
const latch = createLatch({ link, state });

const range = createRange(state.now);
const theme = createTheme();
const attention = createAttention({ link, state, token });
const { alarms } = attention;
const ruler = createRuler({ state, range });
const account = createAccount({ state, range });
const help = createHelp({ state, latch });
help.bind(createKeys({ range, theme, ruler, account, help: help.open }));
createTokenField({ token });

const views = [
  stop,
  latch,
  attention,
  createBar({ link, state, range, theme, help: help.open, alarms }),
  ruler,
  createStrip({ link, state, alarms }),
  createPumps({ link, state, alarms }),
  createArm({ state }),
  account,
  createOutputs({ link, state }),
  createStorage({ state }),
  createPanels({ link, state, alarms }),
];

function render() {
  document.body.dataset.link = link.state;
  for (const view of views) {
    try {
      view.render();
    } catch (error) {
      // one panel that cannot show what the rig says leaves the others as they are
      console.error(error);
    }
  }
}

state.on("tick", render);
range.on(render);
render();
link.connect();
link.request("GET", "/api/status").then((sections) => state.has("rig") || state.take(sections), () => {}); // prettier-ignore

try {
  const [{ mountCharts }, { cursor }] = await Promise.all([import("./charts/main.js"), import("./cursor.js")]);
  mountCharts({ link, state, range, cursor, theme });
} catch (error) {
  // the gateway went away while the page was loading: a module that failed is not fetched again
  console.error(error);
  for (const name of ["power", "vibration", "thermostat"]) {
    const again = h("button", { type: "button" }, "Reload");
    again.addEventListener("click", () => location.reload());
    document.querySelector(`[data-panel="${name}"] .body`).replaceChildren(h("p", {}, "The charts were not loaded. ", again));
  }
}
