/** Small wishes of this viewer. A browser that keeps nothing is no reason to fail. */

export function recall(key) {
  try {
    return localStorage.getItem(`rigbus-${key}`);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`rigbus-${key}`, value);
  } catch {
    // forgotten with the page
  }
}
