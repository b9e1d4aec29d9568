import Foundation
import XCTest

@testable import AgentCore

final class FakeProgram: Program {
    let clock: FakeSurroundings
    let placement: String? = "ne"
    init(_ clock: FakeSurroundings) { self.clock = clock }
    func refreshInput() {}
    func call() throws { clock.time += 250 }
    func outputs(for inputs: [UInt8]) throws -> [UInt8] { inputs.reversed() }
}

struct FakeBackend: Backend {
    let clock: FakeSurroundings
    func load(_ item: Plan.Item, unit: ComputeUnit) throws -> Program {
        if item.file == "bad" { throw RecordErrorForTests() }
        return FakeProgram(clock)
    }
}

struct RecordErrorForTests: Error {}

final class FakeSurroundings: Surroundings {
    var time: Int64 = 0
    var files: [String: [UInt8]] = [:]
    let thermalState = "nominal"
    func nowNs() -> Int64 { time }
    func waitUntilCool() {}
    func read(_ place: String) throws -> [UInt8] { files[place] ?? [] }
    func write(_ content: [UInt8], to place: String) throws { files[place] = content }
}

final class AgentCoreTests: XCTestCase {
    let text = """
        {"schema_version": 1, "nonce": "ab", "backend": "coreml-cpu_and_ne", "threads": 1,
         "affinity": null, "order_seed": 7, "rounds": 3, "warmup": 2, "min_block_ns": 1000,
         "max_loops": 100, "max_attempts": 5, "sentinel": 9, "sentinel_every": 2,
         "items": [{"id": 1, "file": "models/a", "sha256": "", "method": "main", "loops": 0},
                   {"id": 2, "file": "bad", "sha256": "", "method": "main", "loops": 0},
                   {"id": 9, "file": "models/b", "sha256": "", "method": "x4", "loops": 2}]}
        """

    func plan(_ text: String? = nil) throws -> Plan {
        try Plan.decode(Data((text ?? self.text).utf8))
    }

    func run(_ earlier: [Record] = []) throws -> [Record] {
        let around = FakeSurroundings()
        var made: [Record] = []
        try Runner(
            plan: plan(), backend: FakeBackend(clock: around), around: around, earlier: earlier,
            emit: { made.append($0) }
        ).run()
        return made
    }

    func testAPlanIsReadAndStrangeOnesAreRefused() throws {
        XCTAssertEqual(try plan().unit, .cpuAndNe)
        XCTAssertThrowsError(try plan(text.replacingOccurrences(of: "models/a", with: "../a")))
        XCTAssertThrowsError(try plan(text.replacingOccurrences(of: "cpu_and_ne", with: "all")))
        let newer = text.replacingOccurrences(of: "\"schema_version\": 1", with: "\"schema_version\": 2")
        XCTAssertThrowsError(try plan(newer))
    }

    func testEachRoundVisitsEachItemOnceAndCountsAgree() throws {
        let made = try run()
        let samples = made.filter { $0.type == "sample" }
        XCTAssertEqual(samples.count, 2 * 3)
        XCTAssertEqual(made.last?.type, "bye")
        XCTAssertEqual(made.last?.samples, 6)
        XCTAssertEqual(made.last?.failures, 1)
        XCTAssertEqual(made.last?.sentinels, made.filter { $0.type == "sentinel" }.count)
    }

    func testBlocksLastLongEnough() throws {
        let samples = try run().filter { $0.type == "sample" && $0.item == 1 }
        XCTAssertEqual(samples.map(\.loops), [4, 4, 4])
        XCTAssertEqual(samples.map(\.ns), [1000, 1000, 1000])
    }

    func testARunThatWasCutOffGoesOn() throws {
        let whole = try run()
        let cut = Array(whole.prefix(whole.count - 4))
        let rest = try run(cut)
        let samples = (cut + rest).filter { $0.type == "sample" }
        XCTAssertEqual(samples.count, 6)
        XCTAssertEqual(rest.last?.samples, 6)
    }

    func testARecordIsALineInTheKitsSpelling() throws {
        var record = Record(type: "sample")
        record.firstNs = 5
        record.thermalState = "fair"
        let line = try record.line()
        XCTAssertEqual(line, #"{"first_ns":5,"thermal_state":"fair","type":"sample"}"#)
        XCTAssertEqual(Record.parse(line), record)
        XCTAssertNil(Record.parse(String(line.dropLast(3))))
    }

    func testTheOrderDependsOnTheSeedAlone() {
        XCTAssertEqual(
            visitOrder(ids: [3, 1, 2], seed: 1, round: 0), visitOrder(ids: [1, 2, 3], seed: 1, round: 0))
        XCTAssertEqual(visitOrder(ids: Array(0..<50), seed: 1, round: 2).sorted(), Array(0..<50))
    }

    func testALogDropsALineThatWasCutOff() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try Data("{\"type\":\"hello\"}\n{\"type\":\"sam".utf8).write(to: url)
        let log = try RecordLog(url)
        XCTAssertEqual(log.earlier.map(\.type), ["hello"])
        try log.append(Record(type: "bye"))
        XCTAssertEqual(try RecordLog(url).earlier.map(\.type), ["hello", "bye"])
    }
}
