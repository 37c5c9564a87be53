/** Help with its list of keys, and the field for a token. */

import { byId, h, setAttr, setHidden, setText } from "./dom.js";
import { HELP } from "./keys.js";

export function createHelp({ state, latch }) {
  const dialog = byId("help-dialog");
  const letters = byId("letters");
  byId("keys").append(...HELP.flatMap(([keys, what]) => [h("dt", {}, keys), h("dd", {}, what)]));
  byId("help-close").addEventListener("click", () => dialog.close());
  byId("unlock-typing").addEventListener("click", () => {
    dialog.close();
    latch.open({ type: true });
  });

  return {
    open() {
      const rig = state.get("rig");
      const began = rig?.started_t ? `, running since ${new Date(rig.started_t / 1e6 + state.zone_s() * 1000).toISOString().slice(0, 16).replace("T", " ")}` : "";
      setText(byId("about"), rig ? `${rig.node}, rigbus ${rig.version}${began}. Times are the rig's${rig.zone ? ` (${rig.zone})` : ""}.` : "");
      // the charts say here when they draw less often
      setText(byId("drawing"), document.body.dataset.drawing ? `Drawing: ${document.body.dataset.drawing}.` : "");
      dialog.showModal();
    },
    /** keys: of js/keys.js, which are made after this. */
    bind(keys) {
      letters.checked = keys.letters;
      letters.addEventListener("change", () => keys.setLetters(letters.checked));
    },
  };
}

/** A line for the token where the rig asks for one; kept for this tab only. */
export function createTokenField({ token }) {
  const form = byId("token-form");
  const field = byId("token");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) token.set(field.value);
    field.value = "";
  });
  token.on((wanted) => {
    setHidden(form, !wanted);
    setText(byId("token-said"), token.get() ? "The rig does not take this token." : "This rig wants a token.");
    setAttr(field, "aria-invalid", token.get() ? "true" : null);
    if (wanted) field.focus();
  });
}
