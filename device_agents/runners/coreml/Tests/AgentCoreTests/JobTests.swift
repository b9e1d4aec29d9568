import Foundation
import XCTest

@testable import AgentCore

final class JobTests: XCTestCase {
    let items = [(1, "models/a"), (9, "models/b")]

    /// A job's folder with a plan whose nonce is its digest.
    func job(_ documents: URL, rounds: Int = 3) throws -> String {
        let nonce = sha256([UInt8](planText(items: items, rounds: rounds, nonce: "").utf8))
        try write(planText(items: items, rounds: rounds, nonce: nonce), documents, nonce)
        return nonce
    }

    func write(_ plan: String, _ documents: URL, _ nonce: String) throws {
        let folder = documents.appendingPathComponent("jobs/\(nonce)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(plan.utf8).write(to: folder.appendingPathComponent("plan.json"))
    }

    func start(_ documents: URL, _ nonce: String, system: String = "18.1") throws {
        var hello = Record(type: "hello")
        hello.runtimeVersion = system
        let around = FakeSurroundings()
        try Job(documents: documents, nonce: nonce).run(
            backend: FakeBackend(clock: around), around: around, hello: hello,
            limits: RecordLog.Limits(lines: 4))
    }

    func testACompleteJobLeavesNumberedFilesAndOneOfAll() throws {
        let documents = try temporaryFolder(), nonce = try job(documents)
        try start(documents, nonce)
        let folder = documents.appendingPathComponent("jobs/\(nonce)")
        let all = try String(contentsOf: folder.appendingPathComponent("records.jsonl"), encoding: .utf8)
        let numbered = try FileManager.default.contentsOfDirectory(
            atPath: folder.appendingPathComponent("records").path
        ).sorted()
        XCTAssertEqual(numbered.first, "000001.jsonl")
        XCTAssertFalse(numbered.contains("open.part"))
        let parts = try numbered.map {
            try String(contentsOf: folder.appendingPathComponent("records/\($0)"), encoding: .utf8)
        }
        XCTAssertEqual(parts.joined(), all)
        XCTAssertTrue(all.hasPrefix("{") && all.contains(#""type":"bye""#))
        XCTAssertEqual(Record.parse(String(all.prefix { $0 != "\n" }))?.nonce, nonce)
    }

    func testAPlanThatWasChangedOrMovedIsRefused() throws {
        let documents = try temporaryFolder(), nonce = try job(documents)
        try write(planText(items: items, rounds: 4, nonce: nonce), documents, nonce)
        XCTAssertThrowsError(try Job(documents: documents, nonce: nonce)) {
            XCTAssertEqual($0 as? PlanError, .digest(nonce))
        }
        try write(planText(items: items, nonce: "cd"), documents, "ab")
        XCTAssertThrowsError(try Job(documents: documents, nonce: "ab")) {
            XCTAssertEqual($0 as? PlanError, .job("cd"))
        }
    }

    func testTheUnfinishedJobIsGoneOnWith() throws {
        let documents = try temporaryFolder(), done = try job(documents)
        XCTAssertNil(Job.unfinished(documents: documents.appendingPathComponent("none")))
        try start(documents, done)
        XCTAssertNil(Job.unfinished(documents: documents))
        let open = try job(documents, rounds: 5)
        XCTAssertEqual(Job.unfinished(documents: documents), open)
    }

    func testRecordsOfAnotherSystemAreSetAside() throws {
        let documents = try temporaryFolder(), nonce = try job(documents)
        let folder = documents.appendingPathComponent("jobs/\(nonce)")
        try start(documents, nonce, system: "18.0")
        try start(documents, nonce, system: "18.1")
        let all = try String(contentsOf: folder.appendingPathComponent("records.jsonl"), encoding: .utf8)
        XCTAssertTrue(all.contains("18.1"))
        XCTAssertFalse(all.contains("18.0"))
        XCTAssertTrue(
            FileManager.default.fileExists(
                atPath: folder.appendingPathComponent("records-old-1/000001.jsonl").path))
    }

    func testALogDropsALineThatWasCutOff() throws {
        let folder = try temporaryFolder(), records = folder.appendingPathComponent("records")
        try FileManager.default.createDirectory(at: records, withIntermediateDirectories: true)
        let hello = Record(type: "hello")
        try Data((hello.line() + "\n{\"type\":\"sam").utf8)
            .write(to: records.appendingPathComponent("open.part"))
        let log = try RecordLog(folder, hello: hello)
        XCTAssertEqual(log.earlier.map(\.type), ["hello"])
        try log.append(Record(type: "bye"))
        XCTAssertEqual(try RecordLog(folder, hello: hello).earlier.map(\.type), ["hello", "bye"])
    }
}
