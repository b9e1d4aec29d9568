import Foundation
import XCTest

@testable import AgentCore

final class AgentCoreTests: XCTestCase {
    let text = planText(items: [(1, "models/a"), (2, "bad"), (9, "models/b")])

    func testAPlanIsReadAndStrangeOnesAreRefused() throws {
        XCTAssertEqual(try plan(text).unit, .cpuAndNe)
        for (old, new) in [
            ("models/a", "../a"), ("cpu_and_ne", "all"), ("\"schema_version\":1", "\"schema_version\":2"),
            ("\"sentinel_every\":2", "\"sentinel_every\":0"),
        ] {
            let strange = text.replacingOccurrences(of: old, with: new)
            XCTAssertNotEqual(strange, text)
            XCTAssertThrowsError(try plan(strange))
        }
    }

    func testEachRoundVisitsEachItemOnceAndCountsAgree() throws {
        let made = try records(text)
        let samples = made.filter { $0.type == "sample" }
        XCTAssertEqual(samples.count, 2 * 3)
        XCTAssertEqual(made.last?.type, "bye")
        XCTAssertEqual(made.last?.samples, 6)
        XCTAssertEqual(made.last?.failures, 1)
        XCTAssertEqual(made.last?.sentinels, made.filter { $0.type == "sentinel" }.count)
    }

    func testBeginAndLoadedCarryTheFilesDigest() throws {
        let made = try records(text)
        for type in ["begin", "loaded"] {
            XCTAssertEqual(made.first { $0.type == type && $0.item == 1 }?.sha256, "s1")
        }
    }

    func testBlocksLastLongEnough() throws {
        let samples = try records(text).filter { $0.type == "sample" && $0.item == 1 }
        XCTAssertEqual(samples.map(\.loops), [4, 4, 4])
        XCTAssertEqual(samples.map(\.ns), [1000, 1000, 1000])
    }

    func testARunThatWasCutOffGoesOn() throws {
        let whole = try records(text)
        for cut in 0..<whole.count {
            let kept = Array(whole.prefix(cut))
            let rest = try records(text, earlier: kept)
            let samples = (kept + rest).filter { $0.type == "sample" }
            XCTAssertEqual(samples.count, 6, "cut after \(cut)")
            XCTAssertEqual(Set(samples.map { "\($0.item!) \($0.round!)" }).count, 6)
            XCTAssertEqual(rest.last?.samples, 6)
        }
    }

    func testAProgramThatEndedTheAppTwiceHasFailed() throws {
        let begin = Record.of("begin", item: 1)
        let once = try records(text, earlier: [begin])
        XCTAssertEqual(once.filter { $0.type == "sample" && $0.item == 1 }.count, 3)
        let twice = try records(text, earlier: [begin, begin])
        let failure = twice.first { $0.type == "failure" && $0.item == 1 }
        XCTAssertEqual(failure?.kind, "crash")
        XCTAssertFalse(twice.contains { $0.type == "begin" && $0.item == 1 })
        XCTAssertEqual(twice.filter { $0.type == "sample" && $0.item == 9 }.count, 3)
    }

    func testAnErrorInACallIsAFailureAndTheOthersGoOn() throws {
        let tired = planText(items: [(1, "models/a"), (2, "models/tired"), (9, "models/b")])
        let made = try records(tired)
        XCTAssertEqual(made.first { $0.type == "failure" }?.kind, "run")
        XCTAssertEqual(made.filter { $0.type == "failure" }.map(\.item), [2])
        XCTAssertEqual(made.filter { $0.type == "sample" && $0.item == 1 }.count, 3)
        XCTAssertEqual(made.last?.samples, made.filter { $0.type == "sample" }.count)
    }

    func testProgramsAreLoadedInBatches() throws {
        let many = planText(items: (1...8).map { ($0, "models/\($0)") } + [(9, "models/b")], rounds: 8)
        let around = FakeSurroundings()
        around.limits = LoadLimits(bytes: 30)
        let made = try records(many, around: around)
        XCTAssertEqual(made.filter { $0.type == "sample" }.count, 9 * 8)
        XCTAssertEqual(Set(made.filter { $0.type == "sample" }.map { "\($0.item!) \($0.round!)" }).count, 72)
        XCTAssertEqual(around.mostLoaded, 4)
        XCTAssertEqual(around.loaded, 0)
        for cut in stride(from: 0, to: made.count, by: 7) {
            let kept = Array(made.prefix(cut))
            let again = FakeSurroundings()
            again.limits = around.limits
            let all = try kept + records(many, earlier: kept, around: again)
            let samples = all.filter { $0.type == "sample" }.map { "\($0.item!) \($0.round!)" }
            XCTAssertEqual(samples.count, 72, "cut after \(cut)")
            XCTAssertEqual(Set(samples).count, 72)
        }
    }

    func testAPlanWithoutRoundsComputesItsOutputs() throws {
        let around = FakeSurroundings()
        around.files["in"] = [1, 2, 3]
        let asked = planText(items: [(9, "models/b")], rounds: 0).replacingOccurrences(
            of: "\"method\"", with: "\"input\":\"in\",\"output\":\"out\",\"method\"")
        let made = try records(asked, around: around)
        XCTAssertEqual(around.files["out"], [3, 2, 1])
        XCTAssertEqual(made.map(\.type), ["begin", "loaded", "bye"])
    }

    func testARecordIsALineInTheKitsSpelling() throws {
        var record = Record(type: "sample")
        record.firstNs = 5
        record.thermalState = "fair"
        let line = try record.line()
        XCTAssertEqual(line, #"{"first_ns":5,"thermal_state":"fair","type":"sample"}"#)
        XCTAssertEqual(Record.parse(line), record)
        XCTAssertNil(Record.parse(String(line.dropLast(3))))
        record.sha256 = "a"
        record.runnerSha256 = "b"
        XCTAssertEqual(Record.parse(try record.line()), record)
    }

    func testTheOrderDependsOnTheSeedAlone() {
        XCTAssertEqual(
            visitOrder(ids: [3, 1, 2], seed: 1, round: 0), visitOrder(ids: [1, 2, 3], seed: 1, round: 0))
        XCTAssertEqual(visitOrder(ids: Array(0..<50), seed: 1, round: 2).sorted(), Array(0..<50))
    }

    func testSha256IsThatOfTheStandard() {
        XCTAssertEqual(
            sha256([]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        XCTAssertEqual(
            sha256(Array("abc".utf8)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        XCTAssertEqual(
            sha256([UInt8](repeating: 97, count: 1000)),
            "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3")
    }
}
