//! Bounds and thresholds of a review. `docs/review.md` gives each with its reason.

/// Gateways whose files are told apart.
pub const GATEWAYS_MAX: usize = 1_024;
/// Bytes of the lines at the beginning of a file that are held back until one names their gateway.
pub const AHEAD_BYTES_MAX: usize = 64 << 20;
/// Exchanges that have begun and of which no end is told yet, and bytes of their lines; more count at once.
pub const INTENTS_HELD_MAX: usize = 1 << 16;
pub const INTENTS_HELD_BYTES_MAX: usize = 64 << 20;
/// Findings in the chain of one gateway after which it is followed no further: nothing in it can be relied on, and each
/// costs a search.
pub const CHAIN_FINDINGS_MAX: u64 = 200;
/// Reasons against the evidence, and names of a finding, that are listed; more are counted.
pub const HOLES_TOLD_MAX: usize = 20;
pub const NAMES_TOLD_MAX: usize = 20;
/// A time that lies further from the window is that of a clock that was wrong, and says nothing of what is covered; nor
/// does a right one go on by so much between two lines.
pub const CLOCK_OFF_S_MAX: u64 = 366 * 86_400;
/// Nor back by so much: lines stand in the order in which exchanges ended.
pub const CLOCK_BACK_S_MAX: u64 = 3_600;
/// Records may begin so much later than the window, in parts of it and at least in seconds.
pub const COVERAGE_SLACK_PARTS: u64 = 100;
pub const COVERAGE_SLACK_S: u64 = 3_600;
/// A last use and the time of its record may differ by so much.
pub const LAST_USE_OFF_S: u64 = 5;

/// Bytes of a name out of a record that is kept; of a longer one, its beginning and a digest.
pub const NAME_BYTES_MAX: usize = 512;
/// Names in records that are looked at beside those of the policy: scopes in tokens of one agent.
pub const TOKEN_SCOPES_MAX: usize = 256;
/// Keys that signed tokens of one issuer.
pub const KIDS_MAX: usize = 1_024;
/// Subjects of a population that are listed by name; one of more has many.
pub const SUBJECTS_FEW: usize = 10;

/// Subjects whose arrivals are counted for one limit; beyond, nothing is said of the limit.
pub const LIMIT_SUBJECTS_MAX: usize = 65_536;
/// Parts of a limit's span in which arrivals are counted.
pub const PEAK_PARTS: u64 = 8;
/// A limit is loose when its peak was at most 1 / so much of it.
pub const LIMIT_LOOSE_PARTS: u64 = 4;
/// Headroom over the peak that a tighter limit has: a factor, and at least so many requests.
pub const HEADROOM_FACTOR: u64 = 2;
pub const HEADROOM_REQUESTS_MIN: u64 = 10;

/// Comparisons of policies while a patch is made.
pub const DIFFS_MAX: usize = 256;
/// Bytes of `review.toml`.
pub const KEEP_BYTES_MAX: usize = 1 << 20;
/// Lines around a change in a patch.
pub const CONTEXT_LINES: usize = 3;

/// Agents, pairs, prefixes, credentials that a profile of traffic keeps; more are counted together.
pub const PROFILE_NAMES_MAX: usize = 65_536;
/// Client prefixes of one credential.
pub const PREFIXES_MAX: usize = 256;
/// Hours of a profile: a year and a bit.
pub const HOURS_MAX: usize = 9_000;
/// Hours without any exchange that part a profile: what lies on the other side of them was told by a clock that was wrong.
pub const SILENT_HOURS_MAX: u64 = 31 * 24;
/// Chance of a false alarm for one agent and hour (or reason, prefix and hour) of an even Poisson stream.
pub const FALSE_ALARM: f64 = 1e-6;
/// Median absolute deviations (as standard deviations) above the median that make an hour unusual.
pub const DEVIATIONS: f64 = 6.0;
/// Requests above the median that make an hour worth telling; denials that make a burst.
pub const RATE_EXCESS_MIN: u32 = 10;
pub const BURST_MIN: u32 = 20;
/// Hours alike that are needed to compare with them alone.
pub const HOURS_ALIKE_MIN: usize = 4;
/// Calls and days that an agent's baseline needs before an hour of the day can be unusual.
pub const DAY_CALLS_MIN: u64 = 100;
pub const DAY_DAYS_MIN: u64 = 7;
/// Findings of anomalies that are listed; more are counted.
pub const ANOMALIES_TOLD_MAX: usize = 1_000;
