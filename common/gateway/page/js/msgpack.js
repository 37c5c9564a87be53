/** Reads MessagePack: what the gateway sends. Integers of 64 bits become doubles (ns are then good to 256 ns);
binary data are views of the message (Uint8Array), not copies. */

const utf8 = new TextDecoder();

export function decode(buffer) {
  const bytes = buffer instanceof Uint8Array ? buffer : new Uint8Array(buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;

  const take = (size) => (at += size) - size;
  const uint = (size) => {
    const from = take(size);
    if (size === 1) return view.getUint8(from);
    if (size === 2) return view.getUint16(from);
    if (size === 4) return view.getUint32(from);
    return view.getUint32(from) * 4294967296 + view.getUint32(from + 4);
  };
  const int = (size) => {
    const from = take(size);
    if (size === 1) return view.getInt8(from);
    if (size === 2) return view.getInt16(from);
    if (size === 4) return view.getInt32(from);
    return view.getInt32(from) * 4294967296 + view.getUint32(from + 4);
  };
  const binary = (size) => {
    if (at + size > bytes.length) throw new RangeError("MessagePack: cut short");
    return bytes.subarray(take(size), at);
  };
  const text = (size) => utf8.decode(binary(size));
  const list = (size) => {
    const out = [];
    for (let i = 0; i < size; i++) out.push(value());
    return out;
  };
  const map = (size) => {
    const out = {};
    for (let i = 0; i < size; i++) {
      const key = value();
      out[key] = value();
    }
    return out;
  };

  function value() {
    const tag = uint(1);
    if (tag < 0x80) return tag;
    if (tag >= 0xe0) return tag - 256;
    if (tag < 0x90) return map(tag & 15);
    if (tag < 0xa0) return list(tag & 15);
    if (tag < 0xc0) return text(tag & 31);
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return binary(uint(1 << (tag - 0xc4)));
      case 0xca: return view.getFloat32(take(4));
      case 0xcb: return view.getFloat64(take(8));
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return uint(1 << (tag - 0xcc));
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return int(1 << (tag - 0xd0));
      case 0xd9: case 0xda: case 0xdb: return text(uint(1 << (tag - 0xd9)));
      case 0xdc: case 0xdd: return list(uint(2 << (tag - 0xdc)));
      case 0xde: case 0xdf: return map(uint(2 << (tag - 0xde)));
      default: throw new RangeError(`MessagePack: tag 0x${tag.toString(16)}`);
    }
  }

  return value();
}
