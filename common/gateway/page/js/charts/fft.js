/** Spectrum of real samples: overlapping windowed pieces, their powers averaged (Welch). Pure. */

export class Spectrum {
  /** `size`: samples a piece, a power of two. Amplitudes are peak values in the unit of the samples. */
  constructor(size) {
    this.size = size;
    this.re = new Float64Array(size);
    this.im = new Float64Array(size);
    this.cos = Float64Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / size));
    this.window = Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size)); // Hann
    this.amplitude = new Float64Array(size / 2 + 1);
  }

  /** Mean over pieces that overlap by half; `samples` is at least one piece long. Returns `amplitude`, reused. */
  of(samples, length = samples.length) {
    const { size, re, im, amplitude } = this;
    amplitude.fill(0);
    let pieces = 0;
    for (let end = length; end >= size; end -= size / 2, pieces++) {
      const start = end - size;
      let mean = 0;
      for (let i = 0; i < size; i++) mean += samples[start + i];
      mean /= size;
      for (let i = 0; i < size; i++) {
        re[i] = (samples[start + i] - mean) * this.window[i];
        im[i] = 0;
      }
      this.#transform();
      for (let k = 0; k < amplitude.length; k++) amplitude[k] += re[k] * re[k] + im[k] * im[k];
    }
    for (let k = 0; k < amplitude.length; k++) amplitude[k] = (Math.sqrt(amplitude[k] / pieces) * 4) / size; // Hann passes half
    return amplitude;
  }

  #transform() {
    const { size, re, im, cos, sin } = this;
    for (let i = 1, j = 0; i < size; i++) {
      let bit = size >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const turn = size / (2 * half);
      for (let i = 0; i < size; i += 2 * half) {
        for (let j = 0; j < half; j++) {
          const c = cos[j * turn];
          const s = sin[j * turn];
          const a = i + j;
          const b = a + half;
          const x = re[b] * c + im[b] * s;
          const y = im[b] * c - re[b] * s;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }
}

/** The strongest lines: maxima over 5 × the median, at least `apart_hz` from each other: [{hz, amplitude}], strongest first. */
export function peaks(amplitude, rate_hz, most = 3, apart_hz = 4) {
  const size = 2 * (amplitude.length - 1);
  const floor = 5 * Float64Array.from(amplitude).sort()[amplitude.length >> 1];
  const found = [];
  for (let k = 2; k < amplitude.length - 1; k++) {
    const [a, b, c] = [amplitude[k - 1], amplitude[k], amplitude[k + 1]];
    if (b <= floor || b < a || b <= c) continue;
    // A parabola through the logarithms finds the line between two bins.
    const [la, lb, lc] = [Math.log(a + 1e-12), Math.log(b), Math.log(c + 1e-12)];
    const shift = la - 2 * lb + lc === 0 ? 0 : (0.5 * (la - lc)) / (la - 2 * lb + lc);
    found.push({ hz: ((k + shift) * rate_hz) / size, amplitude: b });
  }
  found.sort((p, q) => q.amplitude - p.amplitude);
  const kept = [];
  for (const p of found) if (kept.length < most && kept.every((q) => Math.abs(q.hz - p.hz) >= apart_hz)) kept.push(p);
  return kept;
}
