/// A loaded program: one synchronous prediction per call, buffers made beforehand.
public protocol Program: AnyObject {
    var placement: String? { get }
    func refreshInput()
    func call() throws
    /// Outputs (32-bit floats) for a file of inputs (32-bit floats), set by set.
    func outputs(for inputs: [UInt8]) throws -> [UInt8]
}

/// Loads programs; Core ML on a phone, a fake in tests.
public protocol Backend {
    func load(_ item: Plan.Item, unit: ComputeUnit) throws -> Program
}

/// Time, heat and files of the place where a plan runs.
public protocol Surroundings {
    func nowNs() -> Int64
    var thermalState: String { get }
    /// Returns once the device is cool enough to go on.
    func waitUntilCool()
    func read(_ place: String) throws -> [UInt8]
    func write(_ content: [UInt8], to place: String) throws
}

/// Runs one plan: rounds of interleaved blocks, one line at a time.
///
/// Resumable: what `earlier` records hold of a round is not measured again. A
/// round that was begun and not finished is gone on with.
public final class Runner {
    private let plan: Plan
    private let backend: Backend
    private let around: Surroundings
    private let emit: (Record) throws -> Void
    private var programs: [Int: Program] = [:]
    private var loops: [Int: Int] = [:]
    private var done: [Int: Int] = [:]
    private var counts = (samples: 0, sentinels: 0, failures: 0)
    private var failed: Set<Int> = []

    public init(
        plan: Plan, backend: Backend, around: Surroundings, earlier: [Record] = [],
        emit: @escaping (Record) throws -> Void
    ) {
        self.plan = plan
        self.backend = backend
        self.around = around
        self.emit = emit
        for record in earlier {
            switch record.type {
            case "sample":
                counts.samples += 1
                done[record.item ?? -1, default: 0] += 1
            case "sentinel": counts.sentinels += 1
            case "failure":
                counts.failures += 1
                failed.insert(record.item ?? -1)
            case "loaded":
                loops[record.item ?? -1] = record.loops
            default: break
            }
        }
    }

    public func run(progress: (Int, Int) -> Void = { _, _ in }) throws {
        let unit = try plan.unit
        for item in plan.items where !failed.contains(item.id) {
            try load(item, unit: unit)
        }
        let total = plan.rounds
        for round in 0..<total {
            try visit(round: round)
            progress(round + 1, total)
        }
        var bye = Record(type: "bye")
        bye.samples = counts.samples
        bye.sentinels = counts.sentinels
        bye.failures = counts.failures
        try emit(bye)
    }

    private func load(_ item: Plan.Item, unit: ComputeUnit) throws {
        let known = loops[item.id] != nil
        if !known { try emit(Record.of("begin", item: item.id)) }
        let started = around.nowNs()
        do {
            let program = try backend.load(item, unit: unit)
            if let input = item.input, let output = item.output {
                try around.write(program.outputs(for: around.read(input)), to: output)
            }
            let spent = around.nowNs() - started
            try warm(program)
            let chosen = loops[item.id] ?? loopsFor(
                callNs: try timed(program, loops: 1), plan: plan, asked: item.loops)
            programs[item.id] = program
            loops[item.id] = chosen
            if known { return }
            var loaded = Record.of("loaded", item: item.id)
            loaded.loadNs = spent
            loaded.loops = chosen
            loaded.placement = program.placement
            try emit(loaded)
        } catch let error as RecordError {
            throw error
        } catch {
            counts.failures += 1
            var failure = Record.of("failure", item: item.id)
            failure.kind = "load"
            failure.message = String("\(error)".prefix(500))
            try emit(failure)
        }
    }

    private func visit(round: Int) throws {
        for (position, id) in visitOrder(
            ids: programs.keys.sorted(), seed: plan.orderSeed, round: round
        ).enumerated() where done[id, default: 0] <= round {
            around.waitUntilCool()
            if position % plan.sentinelEvery == 0 { try watch() }
            try sample(id, round: round)
        }
    }

    private func sample(_ id: Int, round: Int) throws {
        guard let program = programs[id], let count = loops[id] else { return }
        program.refreshInput()
        let first = try timed(program, loops: 1)
        try warm(program, less: 1)
        let ns = try timed(program, loops: count)
        var record = Record.of("sample", item: id)
        record.round = round
        record.loops = count
        record.ns = ns
        record.firstNs = first
        record.atNs = around.nowNs()
        record.thermalState = around.thermalState
        counts.samples += 1
        done[id, default: 0] += 1
        try emit(record)
    }

    private func watch() throws {
        guard let id = plan.sentinel, let program = programs[id], let count = loops[id] else { return }
        program.refreshInput()
        try warm(program)
        var record = Record(type: "sentinel")
        record.loops = count
        record.ns = try timed(program, loops: count)
        record.atNs = around.nowNs()
        counts.sentinels += 1
        try emit(record)
    }

    private func warm(_ program: Program, less: Int = 0) throws {
        for _ in 0..<max(plan.warmup - less, 0) { try program.call() }
    }

    private func timed(_ program: Program, loops: Int) throws -> Int64 {
        let started = around.nowNs()
        for _ in 0..<loops { try program.call() }
        return around.nowNs() - started
    }
}

/// The records could not be written.
public struct RecordError: Error {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
}

extension Record {
    static func of(_ type: String, item: Int) -> Record {
        var record = Record(type: type)
        record.item = item
        return record
    }
}
