/// SplitMix64: the same order on every platform for one seed.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64
    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// The order of a round's visits: every item once, drawn from the plan's seed.
public func visitOrder(ids: [Int], seed: UInt64, round: Int) -> [Int] {
    var generator = SplitMix64(seed: seed &* 1_000_003 &+ UInt64(round))
    return ids.sorted().shuffled(using: &generator)
}

/// Calls a block must have to last long enough.
public func loopsFor(callNs: Int64, plan: Plan, asked: Int) -> Int {
    if asked > 0 { return asked }
    let wanted = (plan.minBlockNs + max(callNs, 1) - 1) / max(callNs, 1)
    return max(1, min(Int(wanted), plan.maxLoops))
}

/// Programs that are loaded together; more of them are loaded in batches.
public struct LoadLimits: Sendable {
    public var bytes: Int64
    public var programs: Int
    public init(bytes: Int64, programs: Int = 100) {
        self.bytes = bytes
        self.programs = programs
    }
}

/// Stretches of rounds, and the batches that are loaded in turn in each.
///
/// One batch is loaded once. Of several, each is loaded again in every stretch, in another
/// random order, so that each batch's blocks spread over the whole time.
public struct Schedule {
    public let stretches: [Range<Int>]
    private let plan: Plan
    private let batchCount: Int

    public init(plan: Plan, bytes: (Plan.Item) -> Int64, limits: LoadLimits) {
        self.plan = plan
        let total = plan.items.reduce(0) { $0 + bytes($1) }
        let bySize = (total + limits.bytes - 1) / max(limits.bytes, 1)
        let byNumber = (plan.items.count + limits.programs - 1) / max(limits.programs, 1)
        batchCount = max(1, Int(bySize), byNumber)
        let number = batchCount == 1 ? 1 : min(4, max(plan.rounds, 1))
        stretches = (0..<number).map {
            ($0 * plan.rounds / number)..<(($0 + 1) * plan.rounds / number)
        }
    }

    /// The batches of a stretch; the sentinel is in none, since it stays loaded.
    public func batches(_ stretch: Int) -> [[Plan.Item]] {
        let items = plan.items.filter { $0.id != plan.sentinel }
        if batchCount == 1 { return [items] }
        var generator = SplitMix64(seed: plan.orderSeed &* 7919 &+ UInt64(stretch))
        let shuffled = items.shuffled(using: &generator)
        // Every count-th, so that each batch is a fair mixture.
        return (0..<batchCount).map { start in
            stride(from: start, to: shuffled.count, by: batchCount).map { shuffled[$0] }
        }
    }
}
