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
    /// Bytes of an item's file or folder; 0 where it cannot be read.
    func bytes(_ item: Plan.Item) -> Int64
}

/// Time, heat, memory and files of the place where a plan runs.
public protocol Surroundings {
    func nowNs() -> Int64
    var thermalState: String { get }
    /// How much may be loaded at once.
    var limits: LoadLimits { get }
    /// Returns once the device is cool enough to go on.
    func waitUntilCool()
    func read(_ place: String) throws -> [UInt8]
    func write(_ content: [UInt8], to place: String) throws
    /// Does the work and frees what it left to be freed.
    func freeing(_ work: () throws -> Void) rethrows
}

extension Surroundings {
    public func freeing(_ work: () throws -> Void) rethrows { try work() }
}

/// Runs one plan: rounds of interleaved blocks, one record at a time.
///
/// Resumable: what `earlier` records hold of a round is not measured again. A program that ended
/// the app twice while it was loaded has failed, and so has one whose call raised; the others
/// are still run.
public final class Runner {
    private let plan: Plan
    private let backend: Backend
    private let around: Surroundings
    private let emit: (Record) throws -> Void
    private let tries = 2
    private var programs: [Int: Program] = [:]
    private var loops: [Int: Int] = [:]
    private var done: [Int: Int] = [:]
    private var begun: [Int: Int] = [:]
    private var failed: Set<Int> = []
    private var counts = (samples: 0, sentinels: 0, failures: 0)

    public init(
        plan: Plan, backend: Backend, around: Surroundings, earlier: [Record] = [],
        emit: @escaping (Record) throws -> Void
    ) {
        self.plan = plan
        self.backend = backend
        self.around = around
        self.emit = emit
        earlier.forEach(take)
    }

    private func take(_ record: Record) {
        let id = record.item ?? -1
        switch record.type {
        case "sample":
            counts.samples += 1
            done[id, default: 0] += 1
        case "sentinel": counts.sentinels += 1
        case "failure":
            counts.failures += 1
            failed.insert(id)
        case "begin": begun[id, default: 0] += 1
        case "loaded":
            begun[id] = 0
            loops[id] = record.loops
        default: break
        }
    }

    public func run(progress: (Int, Int) -> Void = { _, _ in }) throws {
        let schedule = Schedule(plan: plan, bytes: backend.bytes, limits: around.limits)
        if let sentinel = plan.items.first(where: { $0.id == plan.sentinel }) { try load(sentinel) }
        for (number, rounds) in schedule.stretches.enumerated() {
            for batch in schedule.batches(number) {
                try run(batch, rounds: rounds)
                progress(rounds.upperBound, plan.rounds)
            }
        }
        var bye = Record(type: "bye")
        bye.samples = counts.samples
        bye.sentinels = counts.sentinels
        bye.failures = counts.failures
        try emit(bye)
    }

    private func run(_ batch: [Plan.Item], rounds: Range<Int>) throws {
        // A plan without rounds only loads its programs, for their outputs.
        let open = batch.filter {
            rounds.isEmpty ? loops[$0.id] == nil : done[$0.id, default: 0] < rounds.upperBound
        }
        let watched = plan.sentinel.map { done[$0, default: 0] < rounds.upperBound } ?? false
        if open.isEmpty && !watched { return }
        for item in open { try load(item) }
        for round in rounds { try visit(round: round) }
        for item in batch { programs[item.id] = nil }
    }

    // --- loading

    private func load(_ item: Plan.Item) throws {
        if failed.contains(item.id) { return }
        if begun[item.id, default: 0] >= tries {
            return try fail(item.id, "crash", "the app ended \(tries) times while it loaded this")
        }
        var begin = Record.of("begin", item: item.id)
        begin.sha256 = item.sha256
        try emit(begin)
        do {
            try around.freeing { try emit(loaded(item)) }
            begun[item.id] = 0
        } catch let error as RecordError {
            throw error
        } catch {
            try fail(item.id, "load", "\(error)")
        }
    }

    private func loaded(_ item: Plan.Item) throws -> Record {
        let started = around.nowNs()
        let program = try backend.load(item, unit: plan.unit)
        if let input = item.input, let output = item.output {
            try around.write(program.outputs(for: around.read(input)), to: output)
        }
        let spent = around.nowNs() - started
        try warm(program)
        let one = try timed(program, loops: 1)
        let chosen = loops[item.id] ?? loopsFor(callNs: one, plan: plan, asked: item.loops)
        programs[item.id] = program
        loops[item.id] = chosen
        var record = Record.of("loaded", item: item.id)
        record.sha256 = item.sha256
        record.loadNs = spent
        record.loops = chosen
        record.placement = program.placement
        return record
    }

    private func fail(_ id: Int, _ kind: String, _ message: String) throws {
        programs[id] = nil
        failed.insert(id)
        counts.failures += 1
        var failure = Record.of("failure", item: id)
        failure.kind = kind
        failure.message = String(message.prefix(500))
        try emit(failure)
    }

    // --- timing

    private func visit(round: Int) throws {
        let ids = visitOrder(ids: programs.keys.sorted(), seed: plan.orderSeed, round: round)
        for (position, id) in ids.enumerated() where done[id, default: 0] <= round {
            around.waitUntilCool()
            if position % plan.sentinelEvery == 0, let sentinel = plan.sentinel {
                try guarded(sentinel) { try watch(sentinel) }
            }
            try guarded(id) { try sample(id, round: round) }
        }
    }

    /// An error in a call is that program's failure; the job goes on.
    private func guarded(_ id: Int, _ work: () throws -> Void) throws {
        do {
            try around.freeing(work)
        } catch let error as RecordError {
            throw error
        } catch {
            try fail(id, "run", "\(error)")
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

    private func watch(_ id: Int) throws {
        guard let program = programs[id], let count = loops[id] else { return }
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
