import Foundation

@testable import AgentCore

final class FakeProgram: Program {
    let clock: FakeSurroundings
    let file: String
    let placement: String? = "ne"
    init(_ clock: FakeSurroundings, file: String) {
        self.clock = clock
        self.file = file
        clock.loaded += 1
        clock.mostLoaded = max(clock.mostLoaded, clock.loaded)
    }
    deinit { clock.loaded -= 1 }
    func refreshInput() {}
    func call() throws {
        clock.time += 250
        clock.calls[file, default: 0] += 1
        if file == "models/tired", clock.calls[file]! > 10 { throw FakeError(text: "tired") }
    }
    func outputs(for inputs: [UInt8]) throws -> [UInt8] { inputs.reversed() }
}

struct FakeBackend: Backend {
    let clock: FakeSurroundings
    func load(_ item: Plan.Item, unit: ComputeUnit) throws -> Program {
        if item.file == "bad" { throw FakeError(text: "bad") }
        return FakeProgram(clock, file: item.file)
    }
    func bytes(_ item: Plan.Item) -> Int64 { 10 }
}

struct FakeError: Error { let text: String }

final class FakeSurroundings: Surroundings {
    var time: Int64 = 0
    var files: [String: [UInt8]] = [:]
    var calls: [String: Int] = [:]
    var loaded = 0
    var mostLoaded = 0
    var limits = LoadLimits(bytes: 1000)
    let thermalState = "nominal"
    func nowNs() -> Int64 { time }
    func waitUntilCool() {}
    func read(_ place: String) throws -> [UInt8] { files[place] ?? [] }
    func write(_ content: [UInt8], to place: String) throws { files[place] = content }
}

func planText(items: [(Int, String)], rounds: Int = 3, nonce: String = "ab") -> String {
    let listed = items.map { id, file in
        """
        {"id":\(id),"file":"\(file)","sha256":"s\(id)","method":"main","loops":\(id == 9 ? 2 : 0)}
        """
    }
    return """
        {"schema_version":1,"nonce":"\(nonce)","backend":"coreml-cpu_and_ne","threads":1,\
        "affinity":null,"order_seed":7,"rounds":\(rounds),"warmup":2,"min_block_ns":1000,\
        "max_loops":100,"max_attempts":5,"sentinel":9,"sentinel_every":2,\
        "items":[\(listed.joined(separator: ","))]}
        """
}

func plan(_ text: String) throws -> Plan { try Plan.decode(Data(text.utf8)) }

/// The records of one start of the runner.
func records(
    _ text: String, earlier: [Record] = [], around: FakeSurroundings = FakeSurroundings()
) throws -> [Record] {
    var made: [Record] = []
    try Runner(
        plan: plan(text), backend: FakeBackend(clock: around), around: around, earlier: earlier,
        emit: { made.append($0) }
    ).run()
    return made
}

func temporaryFolder() throws -> URL {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    return url
}
