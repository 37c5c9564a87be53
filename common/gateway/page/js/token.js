/** The viewer's token: kept for this tab only, and never in an address. */

const KEY = "rigbus-token";

export function createToken() {
  const listeners = new Set();
  let wanted = false;
  return {
    get: () => sessionStorage.getItem(KEY) ?? "",
    /** True while the rig has refused what we have. */
    get wanted() {
      return wanted;
    },
    set(value) {
      sessionStorage.setItem(KEY, value.trim());
      wanted = false;
      listeners.forEach((fn) => fn(wanted));
    },
    refused() {
      if (wanted) return;
      wanted = true;
      listeners.forEach((fn) => fn(wanted));
    },
    /** fn(wanted): asked for, or given. */
    on: (fn) => listeners.add(fn),
  };
}

/** 128 random bits; crypto.randomUUID exists on https only. The prefix tells whose command it is in the record. */
export function commandId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "page-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
