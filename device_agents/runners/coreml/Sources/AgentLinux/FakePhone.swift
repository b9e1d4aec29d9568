import AgentCore
import Foundation

/// What a fake phone is: the time of every program, and its faults.
struct Truth: Decodable {
    struct Program: Decodable {
        let ns: Int64
        var bytes: Int64?
        var placement: String?
        /// Loading it ends the process.
        var kills: Bool?
        /// Loading it raises this.
        var refuses: String?
        /// Calls that succeed; the next one raises.
        var calls: Int?
    }

    let programs: [String: Program]
    var deviceModel: String?
    var osBuild: String?
    var runtimeVersion: String?
    /// Relative standard deviation of a block.
    var noise: Double?
    var seed: UInt64?
    /// Records after which the process ends itself, and every second one after.
    var endsAfter: Int?
    var linesPerFile: Int?
    var loadBytes: Int64?
    var loadPrograms: Int?
    /// Thermal state by visit, the last one for the rest.
    var thermal: [String]?
}

/// A clock that moves only while programs run; a later start of the process begins later.
final class FakeClock {
    var ns: Int64
    var random: SplitMix64
    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        // Programs take no real time, so that a thousand times the real one leaves room.
        ns = Int64(Date().timeIntervalSince1970.truncatingRemainder(dividingBy: 1e6) * 1e12)
    }

    /// A normally distributed number (Box and Muller).
    func normal() -> Double {
        let one = Double.random(in: Double.leastNonzeroMagnitude..<1, using: &random)
        let other = Double.random(in: 0..<1, using: &random)
        return (-2 * log(one)).squareRoot() * cos(2 * Double.pi * other)
    }
}

struct FakeFault: Error, CustomStringConvertible {
    let description: String
}

final class FakeProgram: Program {
    let placement: String?
    private let truth: Truth.Program
    private let noise: Double
    private let clock: FakeClock
    private var slowdown = 1.0
    private var calls = 0

    init(_ truth: Truth.Program, noise: Double, clock: FakeClock) {
        self.truth = truth
        self.noise = noise
        self.clock = clock
        placement = truth.placement
    }

    /// Noise is drawn by block: that of single calls would average away.
    func refreshInput() { slowdown = 1 + noise * clock.normal() }

    func call() throws {
        calls += 1
        if let most = truth.calls, calls > most { throw FakeFault(description: "the call failed") }
        clock.ns += Int64((Double(truth.ns) * slowdown).rounded())
    }

    func outputs(for inputs: [UInt8]) throws -> [UInt8] { inputs.reversed() }
}

struct FakeBackend: Backend {
    let truth: Truth
    let clock: FakeClock

    func load(_ item: Plan.Item, unit: ComputeUnit) throws -> Program {
        guard let known = truth.programs[item.sha256] else {
            throw FakeFault(description: "no program \(item.sha256)")
        }
        if known.kills == true { exit(137) }
        if let reason = known.refuses { throw FakeFault(description: reason) }
        clock.ns += 1_000_000
        return FakeProgram(known, noise: truth.noise ?? 0, clock: clock)
    }

    func bytes(_ item: Plan.Item) -> Int64 { truth.programs[item.sha256]?.bytes ?? 0 }
}

final class FakeSurroundings: Surroundings {
    private let documents: URL
    private let truth: Truth
    private let clock: FakeClock
    private var visits = 0

    init(documents: URL, truth: Truth, clock: FakeClock) {
        self.documents = documents
        self.truth = truth
        self.clock = clock
    }

    var limits: LoadLimits {
        LoadLimits(bytes: truth.loadBytes ?? 1 << 40, programs: truth.loadPrograms ?? 100_000)
    }

    var thermalState: String {
        let states = truth.thermal ?? []
        return states.isEmpty ? "nominal" : states[min(visits, states.count) - 1]
    }

    func nowNs() -> Int64 { clock.ns }
    func waitUntilCool() { visits += 1 }

    func read(_ place: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: documents.appendingPathComponent(place)))
    }

    func write(_ content: [UInt8], to place: String) throws {
        let url = documents.appendingPathComponent(place)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(content).write(to: url, options: .atomic)
    }
}
