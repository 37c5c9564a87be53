/** Why something was lost, in words. */

/** The words of docs/delivery.md, "Causes", as a reader of a chart knows them. Others stand as they are. */
export const CAUSES = {
  killed: "daemon killed",
  app_killed: "application killed",
  app_stopped: "application ended",
  app_gone: "application gone",
  journal_blocked: "no room for the journal",
  damaged: "journal damaged",
  trimmed: "journal trimmed",
  too_large: "frame too large",
  not_encodable: "fault of the daemon",
  malformed: "not readable",
  poison: "refused by the store",
  foreign: "foreign messages",
  down: "daemon not running",
  kernel_overrun: "kernel buffer full",
  late: "sampling late",
  timeout: "no answer",
  refused: "connection refused",
  fault: "fault of the daemon",
  stale: "device stood still",
  dropped: "dropped by the device",
  fifo_overflow: "FIFO overrun",
  nack: "sensor did not answer",
  bus_timeout: "I2C bus stuck",
  bus_error: "I2C bus fault",
  chip_reset: "sensor was reset",
  not_ready: "no new sample",
  undecodable: "not decodable",
  total_from_store: "total from the store",
  store_corrupt: "database damaged",
  quarantine_dropped: "quarantine given up",
  pruned: "deleted before output",
};

export const causeWords = (cause) => CAUSES[cause] ?? String(cause).replaceAll("_", " ");
