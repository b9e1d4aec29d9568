/// SplitMix64: the same order on every platform for one seed.
public struct SplitMix64: RandomNumberGenerator {
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
