// Put into every page before its own scripts: what tests cannot ask the DOM for. Nothing here changes what the page does.
(() => {
  const drawn = new WeakMap(); // canvas → {frames, texts: [[words, x, y]] of the newest frame, at_ms}
  const of = (canvas) => {
    if (!drawn.has(canvas)) drawn.set(canvas, { frames: 0, texts: [], at_ms: 0 });
    return drawn.get(canvas);
  };
  const proto = CanvasRenderingContext2D.prototype;
  const { clearRect, fillText } = proto;
  proto.clearRect = function (...where) {
    const record = of(this.canvas);
    Object.assign(record, { frames: record.frames + 1, texts: [], at_ms: performance.now() });
    return clearRect.apply(this, where);
  };
  proto.fillText = function (words, x, y, ...rest) {
    of(this.canvas).texts.push([words, x, y]);
    return fillText.call(this, words, x, y, ...rest);
  };

  const seen = (node) => {
    const { width, height } = node.getBoundingClientRect();
    return width > 1.5 && height > 1.5 && node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  };
  const CONTROLS = "button, input, select, textarea, a[href], [role=slider], [tabindex]";
  const controls = () => [...document.querySelectorAll(CONTROLS)].filter(seen);
  const nameOf = (node) => {
    const steps = [];
    for (; node && node !== document.body; node = node.parentElement) {
      const own = node.id ? `#${node.id}` : node.dataset.panel ? `[${node.dataset.panel}]` : node.dataset.cell ? `[${node.dataset.cell}]` : node.dataset.value ? `=${node.dataset.value}` : "";
      steps.unshift(own || `${node.localName}${[...(node.parentElement?.children ?? [])].indexOf(node)}`);
      if (node.id) break;
    }
    return steps.join(" ");
  };

  // ---- colours, as sRGB with alpha, 0 to 1
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  function rgba(colour) {
    if (!known.has(colour)) {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = colour;
      pixel.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r / 255, g / 255, b / 255, a / 255]);
    }
    return known.get(colour);
  }
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  /** What lies behind a node's content, or (own false) around it. Opacity fades a whole subtree towards what is behind. */
  function behind(node, own = true) {
    const chain = [];
    for (let at = own ? node : node.parentElement; at; at = at.parentElement) chain.unshift(at);
    return chain.reduce((below, at) => over(rgba(getComputedStyle(at).backgroundColor), below), [1, 1, 1, 1]);
  }
  const opacity = (node) => (node ? Number(getComputedStyle(node).opacity) * opacity(node.parentElement) : 1);
  const faded = (colour, node, below) => over([...colour.slice(0, 3), colour[3] * opacity(node)], below);

  /** How well a shape without words is told from what it stands on: by its fill or its border. */
  function edge(node) {
    const style = getComputedStyle(node);
    const around = behind(node, false);
    const edges = [style.backgroundColor];
    if (style.borderTopStyle !== "none" && parseFloat(style.borderTopWidth) > 0) edges.push(style.borderTopColor);
    return Math.max(...edges.map((colour) => ratio(faded(rgba(colour), node, around), around)));
  }

  /** Texts and controls below what WCAG 2.2 AA asks for: [[name, words, contrast, least]]. */
  function contrasts() {
    const low = [];
    let checked = 0;
    const judge = (node, words, found, least) => {
      checked += 1;
      if (found < least - 0.005) low.push([nameOf(node), words.slice(0, 60), Math.round(found * 100) / 100, least]);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
      const node = text.parentElement;
      if (!text.data.trim() || !seen(node) || node.closest("script, style, noscript, [disabled], :disabled")) continue;
      const style = getComputedStyle(node);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
      const below = behind(node);
      judge(node, text.data.trim(), ratio(faded(rgba(style.color), node, below), below), large ? 3 : 4.5);
    }
    for (const node of controls()) {
      if (node.disabled || node.matches("a, canvas, .chart")) continue;
      const style = getComputedStyle(node);
      const edges = [edge(node)];
      // a button is also known by its words or its icon, a field only by its edge
      if (!node.matches("input, textarea, select")) edges.push(ratio(faded(rgba(style.color), node, behind(node)), behind(node)));
      if (node.matches("[role=slider]")) for (const part of node.children) edges.push(edge(part));
      if (node.matches("input[type=checkbox]") && style.appearance !== "none") continue; // the browser draws it
      judge(node, node.textContent.trim() || node.getAttribute("aria-label") || "", Math.max(...edges), 3);
    }
    return { low, checked };
  }

  // ---- places
  const box = (node) => {
    const { x, y, width, height } = node.getBoundingClientRect();
    return [x + scrollX, y + scrollY, width, height].map((v) => Math.round(v * 10) / 10);
  };
  const neighbours = () => [...document.querySelectorAll("[data-value]")].filter(seen).flatMap((node) => [...node.parentElement.children].filter((other) => other !== node && seen(other)));

  /** Watches the boxes of all controls, and the places of what stands beside a number, in each frame from now on.
   *  stop() → [[name, "size" | "place" | "gone" | "new", before, after]], each name once. */
  function watchBoxes() {
    const before = { control: new Map(controls().map((n) => [n, box(n)])), beside: new Map(neighbours().map((n) => [n, box(n)])) };
    const moved = new Map();
    let going = true;
    let frames = 0;
    const look = () => {
      if (!going) return;
      frames += 1;
      for (const [node, old] of before.control) {
        const now = node.isConnected && seen(node) ? box(node) : null;
        if (!now) moved.set(`control ${nameOf(node)}`, [old, "gone"]);
        else if (now.some((v, i) => Math.abs(v - old[i]) >= 1)) moved.set(`control ${nameOf(node)}`, [old, now]);
      }
      for (const [node, old] of before.beside) {
        if (!node.isConnected || !seen(node)) continue;
        const now = box(node);
        if (now.slice(0, 2).some((v, i) => Math.abs(v - old[i]) >= 1)) moved.set(`beside ${nameOf(node)}`, [old, now]);
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    return {
      stop() {
        going = false;
        return { moved: [...moved], frames, controls: before.control.size, beside: before.beside.size };
      },
    };
  }

  const panelOf = (name) => document.querySelector(`[data-panel=${name}]`);
  const canvases = (name) => [...panelOf(name).querySelectorAll("canvas")];

  /** Of a chart over time: its canvas, and the box of its picture in CSS pixels of the canvas. */
  function chart(panel, at = 0) {
    const node = panelOf(panel).querySelectorAll(".chart")[at];
    const { left, top, width, height } = node.querySelector(".chart-over").style;
    const [l, t, w, hgt] = [left, top, width, height].map(parseFloat);
    return { node, canvas: node.querySelector("canvas"), left: l, top: t, width: w, height: hgt };
  }

  /** Per column of the picture's pixels, how many have the colour of a token (±tolerance a channel). */
  function columnsOf(panel, token, tolerance = 40, at = 0) {
    const { canvas, left, top, width, height } = chart(panel, at);
    const scale = canvas.width / canvas.clientWidth;
    const { data, width: wide } = canvas.getContext("2d").getImageData(left * scale, top * scale, width * scale, height * scale);
    const want = rgba(getComputedStyle(document.documentElement).getPropertyValue(`--${token}`).trim()).map((v) => v * 255);
    const out = new Array(wide).fill(0);
    const [highest, lowest] = [new Array(wide).fill(-1), new Array(wide).fill(-1)];
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] < 128 || [0, 1, 2].some((c) => Math.abs(data[i + c] - want[c]) > tolerance)) continue;
      const [x, y] = [(i / 4) % wide, Math.floor(i / 4 / wide)];
      out[x] += 1;
      if (highest[x] < 0) highest[x] = y / scale + top;
      lowest[x] = y / scale + top;
    }
    return { counts: out, highest, lowest, left, width, top, height };
  }

  window.look = {
    seen, controls, contrasts, edge, watchBoxes, box, chart, columnsOf, nameOf, canvases,
    texts: (canvas) => of(canvas).texts,
    frames: (canvas) => of(canvas).frames,
    drawnAt: (canvas) => of(canvas).at_ms,
  };
})();
