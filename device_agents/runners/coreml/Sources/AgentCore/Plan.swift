import Foundation

/// The kit's plan (device_agents/protocol.py), as far as a phone needs it.
public struct Plan: Codable, Equatable, Sendable {
    public struct Item: Codable, Equatable, Sendable {
        public let id: Int
        public let file: String
        public let sha256: String
        public let method: String
        public let loops: Int
        public let input: String?
        public let output: String?
    }

    public let schemaVersion: Int
    public let nonce: String
    public let backend: String
    public let threads: Int
    public let orderSeed: UInt64
    public let rounds: Int
    public let warmup: Int
    public let minBlockNs: Int64
    public let maxLoops: Int
    public let sentinel: Int?
    public let sentinelEvery: Int
    public let items: [Item]

    enum CodingKeys: String, CodingKey {
        case schemaVersion = "schema_version"
        case nonce, backend, threads
        case orderSeed = "order_seed"
        case rounds, warmup
        case minBlockNs = "min_block_ns"
        case maxLoops = "max_loops"
        case sentinel
        case sentinelEvery = "sentinel_every"
        case items
    }

    /// Reads a plan; refuses another schema, backend, content than its nonce is the digest of,
    /// or a path that leaves the app's folder.
    public static func decode(_ data: Data) throws -> Plan {
        let plan = try JSONDecoder().decode(Plan.self, from: data)
        guard plan.schemaVersion == 1 else { throw PlanError.schema(plan.schemaVersion) }
        _ = try plan.unit
        guard plan.rounds >= 0, plan.sentinelEvery >= 1, plan.maxLoops >= 1 else {
            throw PlanError.numbers
        }
        // A nonce of 64 digits is the SHA-256 of the plan's text with an empty nonce.
        if plan.nonce.count == 64, digest(data, nonce: plan.nonce) != plan.nonce {
            throw PlanError.digest(plan.nonce)
        }
        for item in plan.items {
            for path in [item.file, item.input, item.output].compactMap({ $0 }) {
                guard isInside(path) else { throw PlanError.path(path) }
            }
        }
        return plan
    }

    static func digest(_ data: Data, nonce: String) -> String {
        let text = String(decoding: data, as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        guard let place = text.range(of: "\"nonce\":\"\(nonce)\"") else { return "" }
        return sha256([UInt8](text.replacingCharacters(in: place, with: "\"nonce\":\"\"").utf8))
    }

    /// The compute unit in the backend's name.
    public var unit: ComputeUnit {
        get throws {
            guard backend.hasPrefix("coreml-"),
                let unit = ComputeUnit(rawValue: String(backend.dropFirst("coreml-".count)))
            else { throw PlanError.backend(backend) }
            return unit
        }
    }

    static func isInside(_ path: String) -> Bool {
        !path.isEmpty && !path.hasPrefix("/") && !path.split(separator: "/").contains("..")
    }
}

public enum ComputeUnit: String, Codable, CaseIterable, Sendable {
    case cpuOnly = "cpu_only"
    case cpuAndNe = "cpu_and_ne"
    case cpuAndGpu = "cpu_and_gpu"
}

public enum PlanError: Error, Equatable {
    case schema(Int)
    case backend(String)
    case path(String)
    case numbers
    /// The plan is not the one that its nonce is the digest of.
    case digest(String)
    /// The plan lies in the folder of another job.
    case job(String)
}
